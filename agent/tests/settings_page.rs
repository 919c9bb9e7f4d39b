//! docs/settings.md is printed from the declaration of the settings, and checked here.

use std::path::Path;

#[test]
fn the_settings_page_is_the_one_the_code_declares() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    let declared = threadline::config::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &declared).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(
        written == declared,
        "docs/settings.md differs from the code: UPDATE_DOCS=1 cargo test --package threadline --test settings_page"
    );
}
