//! `docs/language.md` is generated; UPDATE_DOCS=1 writes it.

use std::path::Path;

#[test]
fn the_documentation_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/language.md");
    let document = weft_lang::documentation::document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let folder = path.parent().expect("the file is in a folder");
        std::fs::create_dir_all(folder).expect("the folder can be made");
        std::fs::write(&path, &document).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == document,
        "docs/language.md is out of date; run UPDATE_DOCS=1 cargo test -p weft-lang --test documentation"
    );
}
