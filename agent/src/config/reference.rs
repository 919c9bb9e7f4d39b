//! The reference page of the settings, printed from their declaration.

use clap::Arg;

use super::declared;

const HEAD: &str = "\
# Settings

Generated from the code. A flag wins over the environment, the environment over the file
(`--config FILE` or `THREADLINE_CONFIG`), the file over the default. A dot in a key is a level of
the YAML file: `ring.bytes` is `bytes` below `ring`. Lists may be YAML lists or comma-separated.
Exporters follow the standard `OTEL_*` environment; the file may hold
such variables below `otel`, and the real environment wins over them.

";

/// All settings as Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let declared = declared();
    let mut heading = None;
    for arg in declared.get_arguments() {
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            page.push_str(&format!(
                "{}## {}\n\n| key | flag | environment | default | |\n| --- | --- | --- | --- | --- |\n",
                if page.ends_with("\n\n") { "" } else { "\n" },
                heading.unwrap_or("Settings"),
            ));
        }
        page.push_str(&row(arg));
    }
    page
}

fn row(arg: &Arg) -> String {
    let default: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    let allowed: Vec<_> = arg
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let text = match allowed.as_slice() {
        _ if !arg.get_action().takes_values() => text,
        [] => text,
        allowed => format!("{text} ({})", allowed.join(", ")),
    };
    format!(
        "| `{}` | `--{}` | `{}` | {} | {} |\n",
        arg.get_id(),
        arg.get_long().unwrap_or_default(),
        arg.get_env().unwrap_or_default().to_string_lossy(),
        if default.is_empty() {
            String::new()
        } else {
            format!("`{}`", default.join(","))
        },
        text.replace('|', "\\|").replace('\n', " "),
    )
}
