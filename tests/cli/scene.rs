//! A workspace with three people, and a campaign.

pub(crate) use crate::support::{Workspace, bytes_of};

pub(crate) const RECIPIENTS: &str =
    "recipient,address,time_zone,country,opted_in_at,opt_in_source,tags,attr_name
ana,+5511987654321,,BR,2026-01-01T00:00:00Z,form,newsletter|vip,Ana
ben,+447700900123,Europe/London,,2026-01-02T00:00:00Z,form,newsletter,
cy,+14155550123,,,,,,
";

pub(crate) fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("recipients.csv", RECIPIENTS);
    workspace.ok(&["import", "recipients", "recipients.csv"]);
    workspace
}

pub(crate) fn campaign(change: impl Fn(&str) -> String) -> String {
    change(
        r#"name = "spring"
provider = "console"

[window]
start = 2031-03-03T09:00:00
end = 2031-03-05T18:00:00

[[variant]]
name = "words"
media = "text"
text = "Hello {{name}}"
"#,
    )
}
