-- Templates as a provider's account has them; read from the account again and again.
CREATE TABLE account_template (
    provider TEXT NOT NULL,
    name     TEXT NOT NULL,
    language TEXT NOT NULL,
    template TEXT NOT NULL,                  -- as JSON
    PRIMARY KEY (provider, name, language)
);
