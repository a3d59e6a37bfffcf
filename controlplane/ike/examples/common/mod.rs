//! What the examples share: their command line.

use std::collections::HashMap;

/// Why an example ends early.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// `--name value` pairs.
pub(crate) struct Arguments(pub(crate) HashMap<String, String>);

impl Arguments {
    /// Those of this process.
    pub(crate) fn read() -> Result<Arguments, Failure> {
        let mut map = HashMap::new();
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            let name = name.strip_prefix("--").ok_or("arguments are --name value")?.to_owned();
            map.insert(name, words.next().ok_or("a name without a value")?);
        }
        Ok(Arguments(map))
    }

    /// One that must be there.
    pub(crate) fn get(&self, name: &str) -> Result<&str, Failure> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("--{name} is missing").into())
    }
}
