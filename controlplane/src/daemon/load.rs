//! Reading the configuration file.

use config::{Config, Diagnostic, Severity};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of the largest file: a hundred thousand tunnels, generously written.
const MAX_BYTES: u64 = 256 << 20;

/// A file makes no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    Unreadable(PathBuf, io::Error),
    /// Its text is wrong.
    #[error("{path} has {}, and is not used", errors(.1), path = .0.display())]
    Wrong(PathBuf, Vec<Diagnostic>),
}

impl LoadError {
    /// What is wrong with the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            LoadError::Unreadable(..) => &[],
            LoadError::Wrong(_, diagnostics) => diagnostics,
        }
    }
}

fn errors(diagnostics: &[Diagnostic]) -> String {
    match diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count() {
        1 => "an error".to_owned(),
        many => format!("{many} errors"),
    }
}

/// Reads and checks a file; returns what the operator should look at all the same, too.
pub fn load(path: &Path) -> Result<(Config, Vec<Diagnostic>), LoadError> {
    let unreadable = |error| LoadError::Unreadable(path.to_owned(), error);
    let mut file = File::open(path).map_err(unreadable)?;
    let status = file.metadata().map_err(unreadable)?;
    if status.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    if status.len() > MAX_BYTES {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    // Room for all of it from the start: a buffer that grows leaves copies of keys behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(status.len() as usize + 1));
    Read::by_ref(&mut file).take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|&&byte| byte == b'\n').count() + 1;
        unreadable(io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8 text")))
    })?;
    let parsed = config::parse(&path.display().to_string(), text);
    let (config, warnings) = parsed.map_err(|wrong| LoadError::Wrong(path.to_owned(), wrong))?;
    if status.mode() & 0o004 != 0 && holds_keys(&config) {
        tracing::warn!("{} holds keys and everybody may read it; chmod 600 it", path.display());
    }
    Ok((config, warnings))
}

fn holds_keys(config: &Config) -> bool {
    let keyrings = config.keyrings().values().any(|keyring| !keyring.peers.is_empty());
    keyrings || !config.isakmp_keys().is_empty() || !config.tunnels().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_one_is_refused_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| load(path).unwrap_err().to_string();
        assert!(said(&folder.path().join("none")).contains("none: No such file"));
        assert!(said(folder.path()).contains("directory"));
        let path = folder.path().join("latin");
        std::fs::write(&path, b"hostname a\n! caf\xe9\n").unwrap();
        assert!(said(&path).contains("line 2 is not UTF-8"), "{}", said(&path));
        std::fs::write(&path, "hostname a\nfrobnicate\n").unwrap();
        let error = load(&path).unwrap_err();
        assert_eq!(error.diagnostics().len(), 1);
        assert!(error.to_string().ends_with("has an error, and is not used"), "{error}");
    }
}
