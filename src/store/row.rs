//! Structs that are read from rows, in both databases.

/// A struct whose fields are the columns of the same names; after a `;` follow fields that are such
/// structs themselves.
///
/// It does what sqlx's derive does. That would build both databases' drivers, a second SQLite and a
/// second TLS for the compiler's own use: a quarter of everything that is built.
macro_rules! from_row {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$of:meta])* $seen:vis $field:ident: $type:ty),* $(,)?
            $(; $($inner:ident: $row:ty),+ $(,)?)?
        }
    ) => {
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$of])* $seen $field: $type,)*
            $($($inner: $row,)+)?
        }

        $crate::store::row::from_row!(@read sqlx::sqlite::SqliteRow, $name,
            [$($field),*], [$($($inner),+)?]);
        $crate::store::row::from_row!(@read sqlx::postgres::PgRow, $name,
            [$($field),*], [$($($inner),+)?]);
    };
    (@read $database:ty, $name:ident, [$($field:ident),*], [$($inner:ident),*]) => {
        impl sqlx::FromRow<'_, $database> for $name {
            fn from_row(row: &$database) -> Result<Self, sqlx::Error> {
                Ok(Self {
                    $($field: sqlx::Row::try_get(row, stringify!($field))?,)*
                    $($inner: sqlx::FromRow::from_row(row)?,)*
                })
            }
        }
    };
}
pub(super) use from_row;
