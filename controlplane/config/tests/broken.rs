//! Broken configurations, each beside what an operator reads about it: `testdata/broken/NAME.conf` and `NAME.txt`.
//!
//! `UPDATE_EXPECT=1 cargo test -p config --test broken` writes the answers anew. Read each of them then as its operator will:
//! is it the right line and word, is the reason true, would the mend mend it?
#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

use std::fs;
use std::path::PathBuf;

/// In every secret of these files, so that none can slip through unseen.
const SECRET: &str = "5ec2e7";

fn broken() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/broken");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "conf")).collect();
    files.sort();
    files
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn each_mistake_is_answered_as_written_down() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for path in broken() {
        let text = fs::read_to_string(&path).unwrap();
        let diagnostics = config::parse(&name(&path), &text).expect_err("it is broken");
        let said = config::render(&diagnostics, false);
        let answer = path.with_extension("txt");
        if update {
            fs::write(&answer, &said).unwrap();
        } else if fs::read_to_string(&answer).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", answer.display()));
        }
    }
    assert!(wrong.is_empty(), "differs from what was written down:\n{}", wrong.join("\n"));
}

#[test]
fn no_answer_shows_a_secret() {
    for path in broken() {
        let text = fs::read_to_string(&path).unwrap();
        let Err(diagnostics) = config::parse(&name(&path), &text) else {
            panic!("{} is not broken", path.display())
        };
        let json = serde_json::to_string(&diagnostics).unwrap();
        let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        for said in
            [config::render(&diagnostics, false), config::render(&diagnostics, true), json, lines.join("\n")]
        {
            let shown = said.lines().find(|line| line.contains(SECRET));
            assert_eq!(shown, None, "in {}", path.display());
        }
    }
}

/// The article's example is taken but for what is IKEv1's own, and what is said to mend its hole does.
#[test]
fn what_the_article_lacks_is_what_it_is_told() {
    let text = include_str!("../testdata/broken/article-dynamic.conf");
    let dangers = |text: &str| {
        let (config, warnings) = config::parse("article", text).unwrap_or_else(|errors| {
            panic!("{}", config::render(&errors, false));
        });
        assert_eq!(config.negotiated().len(), 2);
        warnings.iter().filter(|warning| warning.to_string().contains("DANGER")).count()
    };
    let own = "encryption aes 256\nauthentication pre-share\nlifetime 64800\ngroup 5\n";
    let without = text.replace(&format!("crypto isakmp policy 10\n{own}"), "");
    assert_ne!(without, text);
    assert_eq!(dangers(&without), 1);
    let shared = "crypto keyring spokes\npre-shared-key address 0.0.0.0 0.0.0.0 key 5ec2e7CISCO\n";
    let each = "crypto ikev2 keyring spokes\npeer one\nidentity fqdn one.example.net\npre-shared-key 5ec2e7-of-one\n\
                crypto ikev2 profile spokes\nmatch identity remote fqdn domain example.net\n\
                authentication remote pre-share\nauthentication local pre-share\nkeyring local spokes\n";
    let mended = without.replace(shared, each).replace(
        "crypto dynamic-map spokes 10\n",
        "crypto dynamic-map spokes 10\nset ikev2-profile spokes\n",
    );
    assert_eq!(dangers(&mended), 0);
}

/// The other way round: what nothing is wrong with is taken as it is, without a word.
#[test]
fn good_configurations_pass_in_silence() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for path in ["testdata/gateway.conf", "../../scripts/demo/gw-a.conf", "../../scripts/demo/gw-b.conf"] {
        let text = fs::read_to_string(root.join(path)).unwrap();
        let (_, warnings) =
            config::parse(path, &text).unwrap_or_else(|errors| panic!("{}", config::render(&errors, false)));
        assert_eq!(warnings, [], "{path}");
    }
}
