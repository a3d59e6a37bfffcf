use super::*;
use serde_json::json;

fn rows(clocks: f64) -> Run {
    Run {
        commit: "abc <b>".into(),
        gcm: vec![json!({
            "impl": "vaes-512", "op": "encrypt", "key_bits": 128, "payload": 64, "keys": 1, "clocks": clocks, "ratio": 1.0,
            "ratios": {}, "key_bytes": 960, "rounds": 9, "spread": 0.02, "pace": 2000
        })],
        acl: vec![json!({
            "impl": "rte_acl-scalar", "set": "acl-1000", "rules": 1000, "trace": "all", "burst": 32, "clocks": null,
            "ratio": null, "build_ms": 1.5, "bytes": 4096, "hugepages": true, "rounds": 0, "spread": null, "pace": 2000,
            "note": "did not build"
        })],
        gateway: vec![json!({
            "case": "encrypt", "size": "imix", "sas": 1, "key_bits": 128, "mpps": 10.0, "gbps": 5.0, "clocks": clocks,
            "clocks_best": clocks, "port_clocks": 40.0, "spread": 0.01, "tsc_mhz": 2600.0, "hugepages": true,
            "crypto": "vaes-512", "stages": {"receive": 30.0, "parse": 20.0}
        })],
        rings: [json!("peak"), json!(10), json!(90)]
            .map(|load| {
                let latency = load.is_number().then(|| json!({"p50": 1500, "p99": 4000, "p999": 9000, "max": 77_700}));
                json!({
                    "ring": "memif", "case": "encrypt", "size": 64, "sas": 1, "load": load, "mpps": 4.0, "gbps": 2.0,
                    "clocks": clocks, "busy": 0.97, "burst": 63.5, "latency": latency
                })
            })
            .into(),
        ..Run::default()
    }
}

#[test]
fn a_page_shows_every_part_and_escapes_what_it_is_told() {
    let run = rows(200.0);
    let read = run.read("test").unwrap();
    let text = page::page(&run, &read, None);
    for word in [
        "vaes-512",
        "rte_acl-scalar",
        "encrypt 1 SA 128 bits",
        "abc &lt;b&gt;",
        "parse",
        "imix",
        "memif encrypt 64 1 SA",
        "77.7",
        "99.9 %",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(
        !text.contains("http://") || text.contains("http://www.w3.org"),
        "the page asks for nothing elsewhere"
    );
}

#[test]
fn a_run_is_compared_with_what_an_earlier_one_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for (name, clocks) in [("old", 300.0), ("new", 200.0)] {
        let rows = rows(clocks);
        for (part, rows) in
            [("gcm", &rows.gcm), ("acl", &rows.acl), ("gateway", &rows.gateway), ("rings", &rows.rings)]
        {
            std::fs::write(file(part), serde_json::to_string(rows).unwrap()).unwrap();
        }
        let args = ReportArgs {
            gcm: Some(file("gcm")),
            acl: Some(file("acl")),
            gateway: Some(file("gateway")),
            rings: Some(file("rings")),
            commit: name.into(),
            when: "today".into(),
            command: vec!["gcm=scripts/bench gcm".into()],
            compare: (name == "new").then(|| file("old.json")),
            html: file("page.html"),
            json: file(&format!("{name}.json")),
        };
        report(&args).unwrap();
    }
    let text = std::fs::read_to_string(file("page.html")).unwrap();
    assert!(text.contains("2 faster, 0 slower"), "{text}");
    assert!(text.contains("-33.3 %") && text.contains("scripts/bench gcm"), "{text}");
}

#[test]
fn what_is_no_run_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.json");
    std::fs::write(&file, "[{}]").unwrap();
    let args = ReportArgs {
        gcm: Some(file.clone()),
        acl: None,
        gateway: None,
        rings: None,
        commit: String::new(),
        when: String::new(),
        command: Vec::new(),
        compare: None,
        html: folder.path().join("page.html"),
        json: folder.path().join("run.json"),
    };
    let error = report(&args).unwrap_err().to_string();
    assert!(error.contains("gcm") && error.contains("missing field"), "{error}");
    assert!(!args.html.exists());
}
