//! `show access-lists`.

use super::{Page, View};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// All access lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessLists {
    /// `hostname`.
    pub hostname: Option<String>,
    /// By name.
    pub access_lists: Vec<List>,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List {
    /// Its name or number.
    pub name: String,
    /// It is of IPv6 addresses; unknown where no daemon could be asked.
    pub ipv6: Option<bool>,
    /// Its lines.
    pub rules: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its sequence number.
    pub sequence: u32,
    /// As the configuration writes it; unknown where no daemon could be asked.
    pub text: Option<String>,
    /// Packets that met it, on the interfaces whose crypto map uses it.
    pub hits: u64,
}

impl AccessLists {
    /// Out of a view. Without a daemon, the lines that policies name.
    pub fn new(view: &View) -> AccessLists {
        let hits = view.hits();
        let access_lists = match &view.facts {
            Some(facts) => facts
                .access_lists
                .iter()
                .map(|list| List {
                    name: list.name.clone(),
                    ipv6: Some(list.ipv6),
                    rules: list
                        .rules
                        .iter()
                        .map(|rule| Line {
                            sequence: rule.sequence,
                            text: Some(rule.text.clone()),
                            hits: hits.get(rule.label.as_str()).copied().unwrap_or_default(),
                        })
                        .collect(),
                })
                .collect(),
            None => by_label(&hits),
        };
        AccessLists { hostname: view.hostname(), access_lists }
    }
}

fn by_label(hits: &HashMap<&str, u64>) -> Vec<List> {
    let mut lists: BTreeMap<&str, BTreeMap<u32, u64>> = BTreeMap::new();
    for (label, &hits) in hits {
        if let Some((name, sequence)) = label.rsplit_once(':')
            && let Ok(sequence) = sequence.parse()
        {
            lists.entry(name).or_default().insert(sequence, hits);
        }
    }
    let line = |(sequence, hits)| Line { sequence, text: None, hits };
    let list = |(name, lines): (&str, BTreeMap<u32, u64>)| List {
        name: name.to_owned(),
        ipv6: None,
        rules: lines.into_iter().map(line).collect(),
    };
    lists.into_iter().map(list).collect()
}

impl Page for AccessLists {
    fn text(&self) -> String {
        if self.access_lists.is_empty() {
            return "There are no access lists.\n".to_owned();
        }
        let mut text = String::new();
        for list in &self.access_lists {
            // Writing to a `String` does not fail.
            let _ = write_list(&mut text, list);
        }
        text
    }
}

fn write_list(text: &mut String, list: &List) -> std::fmt::Result {
    match list.ipv6 {
        Some(true) => writeln!(text, "IPv6 access list {}", list.name)?,
        _ => writeln!(text, "Extended IP access list {}", list.name)?,
    }
    for line in &list.rules {
        match &line.text {
            Some(words) => write!(text, "    {words}")?,
            None => write!(text, "    {} (the control plane was not asked)", line.sequence)?,
        }
        match line.hits {
            0 => writeln!(text)?,
            1 => writeln!(text, " (1 match)")?,
            hits => writeln!(text, " ({hits} matches)")?,
        }
    }
    Ok(())
}
