//! Tests of the token's rules.

use super::*;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_made_token_is_private_and_stays() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data/http/token");
    let first = LocalToken::load_or_create(&path).unwrap();
    assert_eq!(first.secret().expose().len(), 43);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let again = LocalToken::load_or_create(&path).unwrap();
    assert!(first.matches(again.secret().expose()));
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "no drafts are left"
    );
}

#[test]
fn of_many_makers_one_token_wins() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("http/token");
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| LocalToken::load_or_create(&path).unwrap()))
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().unwrap().secret().expose().to_owned())
            .collect()
    });
    assert!(tokens.iter().all(|token| token == &tokens[0]));
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    for bad in [0o640, 0o604, 0o660, 0o601] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        LocalToken::load_or_create(&path).unwrap();
        set_mode(&path, bad);
        let error = LocalToken::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{bad:o}: {error}");
    }
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("shared");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o777);
    let error = LocalToken::load_or_create(&folder.join("token")).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
}

#[test]
fn a_link_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = home.path().join("elsewhere");
    LocalToken::load_or_create(&elsewhere).unwrap();
    let path = home.path().join("token");
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(LocalToken::load_or_create(&path).is_err());
    assert!(
        LocalToken::from_file(&path).is_ok(),
        "secret mounts are links"
    );
}

#[test]
fn a_named_file_may_be_readable_but_not_writable() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("secret");
    fs::write(&path, "0123456789abcdef\n").unwrap();
    set_mode(&path, 0o444);
    assert!(
        LocalToken::from_file(&path)
            .unwrap()
            .matches("0123456789abcdef")
    );
    set_mode(&path, 0o666);
    assert!(LocalToken::from_file(&path).is_err());
}

#[test]
fn texts_that_cannot_be_tokens_are_refused() {
    for bad in [
        "",
        "short",
        "fifteen-chars-x",
        "with a space in it",
        "umlaut-äöü-0123456789",
    ] {
        let error = LocalToken::from_text(bad, "WEFT_TOKEN")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("WEFT_TOKEN"), "{error}");
        assert!(
            bad.is_empty() || !error.contains(bad),
            "the text is not shown"
        );
    }
    assert!(LocalToken::from_text(&"x".repeat(1_025), "test").is_err());
}

#[test]
fn only_the_whole_token_matches() {
    let token = LocalToken::from_text("0123456789abcdef", "test").unwrap();
    assert!(token.matches("0123456789abcdef"));
    for other in [
        "",
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789abcdeF",
    ] {
        assert!(!token.matches(other), "{other}");
    }
}

#[test]
fn it_never_prints_itself() {
    let token = LocalToken::from_text("0123456789abcdef", "test").unwrap();
    assert_eq!(format!("{token:?}"), "LocalToken(***)");
}
