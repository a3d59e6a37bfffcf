//! What each command does.

use crate::{Crypto, Dataplane, DebugCrypto, Ikev2, Ipsec, Show};
use config::{Diagnostic, Severity};
use controlplane::daemon::load::{LoadError, load};
use controlplane::operator::client::{self, AskError, ask};
use controlplane::operator::facts::ConfigFacts;
use controlplane::operator::sessions::{PairFacts, SessionFacts};
use controlplane::operator::trail::{Said, Topic};
use controlplane::operator::{Answer, Question};
use controlplane::show::access_lists::AccessLists;
use controlplane::show::compiled::Detailed;
use controlplane::show::crypto_map::CryptoMaps;
use controlplane::show::drops::Drops;
use controlplane::show::ikev2::IkeSas;
use controlplane::show::interfaces::Interfaces;
use controlplane::show::memory::Memory;
use controlplane::show::sa::{Associations, Only};
use controlplane::show::session::Sessions;
use controlplane::show::stages::Stages;
use controlplane::show::stats::Stats;
use controlplane::show::{Page, View, plural};
use serde::Serialize;
use shm::{ConnectError, LinkError, Observer, Usage};
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where both planes listen.
pub(crate) struct Sockets {
    pub(crate) dataplane: PathBuf,
    pub(crate) control: PathBuf,
}

/// The command could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The data plane cannot be looked at.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It went away meanwhile.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The control plane cannot be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The control plane says no.
    #[error("the control plane refused: {0}")]
    Refused(String),
    /// A word of the command line is none that it takes.
    #[error("{0}")]
    Usage(String),
    /// Linux does not say what the data plane's process takes.
    #[error(
        "cannot look at the data plane's process ({0}); is it gone, or in another PID namespace? And it takes root"
    )]
    Process(io::Error),
    /// Standard output.
    #[error("cannot print: {0}")]
    Print(io::Error),
    /// A document that JSON cannot say.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The status for a configuration that cannot be used.
const WRONG_CONFIG: u8 = 2;

/// Prints, and says whether anybody still reads.
fn print(text: &str) -> Result<bool, RunError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(RunError::Print(error)),
    }
}

fn print_json(document: &impl Serialize) -> Result<bool, RunError> {
    print(&(serde_json::to_string_pretty(document)? + "\n"))
}

#[derive(Serialize)]
struct Checked<'a> {
    file: String,
    ok: bool,
    error: Option<String>,
    diagnostics: &'a [Diagnostic],
}

pub(crate) fn check(file: &Path, json: bool) -> Result<ExitCode, RunError> {
    let outcome = load(file);
    let (diagnostics, error): (&[Diagnostic], Option<&LoadError>) = match &outcome {
        Ok((_, warnings)) => (warnings, None),
        Err(error) => (error.diagnostics(), Some(error)),
    };
    let status = if error.is_none() { ExitCode::SUCCESS } else { ExitCode::from(WRONG_CONFIG) };
    if json {
        let error = error.map(ToString::to_string);
        print_json(&Checked { file: file.display().to_string(), ok: error.is_none(), error, diagnostics })?;
        return Ok(status);
    }
    let color = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut text = config::render(diagnostics, color);
    match (&outcome, error) {
        (Ok((config, _)), _) => {
            let warnings = diagnostics.iter().filter(|each| each.severity == Severity::Warning).count();
            text += &format!(
                "{}: ok: {}, {}, {}, {}, {}\n",
                file.display(),
                plural(config.interfaces().len(), "interface"),
                plural(config.tunnels().len() + config.negotiated().len(), "tunnel"),
                plural(config.access_lists().len(), "access list"),
                plural(config.routes().len(), "route"),
                plural(warnings, "warning"),
            );
        }
        (Err(_), Some(error)) => text += &format!("{error}\n"),
        (Err(_), None) => {}
    }
    print(&text)?;
    Ok(status)
}

/// The daemon's facts; `None` where it cannot be asked, which is said.
fn facts(sockets: &Sockets) -> Result<ConfigFacts, RunError> {
    match ask(&sockets.control, &Question::Facts)? {
        Answer::Facts(facts) => Ok(*facts),
        Answer::Refused { reason, .. } => Err(RunError::Refused(reason)),
        _ => Err(RunError::Ask(AskError::Nonsense(sockets.control.clone()))),
    }
}

/// What IKE has done.
fn sessions(sockets: &Sockets) -> Result<SessionFacts, RunError> {
    match ask(&sockets.control, &Question::Sessions)? {
        Answer::Sessions(facts) => Ok(*facts),
        Answer::Refused { reason, .. } => Err(RunError::Refused(reason)),
        _ => Err(RunError::Ask(AskError::Nonsense(sockets.control.clone()))),
    }
}

/// What the SAs serve that IKE negotiated.
fn pairs(sockets: &Sockets) -> Result<Vec<PairFacts>, RunError> {
    match ask(&sockets.control, &Question::Pairs)? {
        Answer::Pairs { pairs } => Ok(pairs),
        Answer::Refused { reason, .. } => Err(RunError::Refused(reason)),
        _ => Err(RunError::Ask(AskError::Nonsense(sockets.control.clone()))),
    }
}

pub(crate) fn clear(sockets: &Sockets, peer: Option<IpAddr>, json: bool) -> Result<ExitCode, RunError> {
    match ask(&sockets.control, &Question::Clear { peer })? {
        Answer::Cleared { ike_sas } if json => print_json(&serde_json::json!({ "ike_sas": ike_sas }))?,
        Answer::Cleared { ike_sas } => print(&format!("cleared {}\n", plural(ike_sas, "IKE SA")))?,
        Answer::Refused { reason, .. } => return Err(RunError::Refused(reason)),
        _ => return Err(RunError::Ask(AskError::Nonsense(sockets.control.clone()))),
    };
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn show(sockets: &Sockets, show: &Show) -> Result<ExitCode, RunError> {
    // IKE is the control plane's alone, with or without a data plane.
    match show {
        Show::Crypto(Crypto::Ikev2(Ikev2::Sa(sas))) => {
            return page(&IkeSas::new(sessions(sockets)?, sas.detail.is_some()), sas.output.json);
        }
        Show::Crypto(Crypto::Session(output)) => {
            return page(&Sessions::new(sessions(sockets)?), output.json);
        }
        _ => {}
    }
    let observer = Observer::connect(&sockets.dataplane)?;
    let facts = match facts(sockets) {
        Ok(facts) => Some(facts),
        // Only the daemon knows crypto maps; the rest can be shown without it, in fewer words.
        Err(error) if matches!(show, Show::Crypto(Crypto::Map(_))) => return Err(error),
        Err(error) => {
            eprintln!("espalier: {error}; showing what the data plane knows");
            None
        }
    };
    let pairs = match show {
        Show::Crypto(Crypto::Ipsec(_)) if facts.is_some() => pairs(sockets)?,
        _ => Vec::new(),
    };
    let view = View::take(&observer, facts, pairs)?;
    match show {
        Show::Crypto(Crypto::Ipsec(Ipsec::Sa(sas))) => {
            page(&Associations::new(&view).only(&only(&sas.only)?), sas.output.json)
        }
        Show::Crypto(Crypto::Map(output)) => page(&CryptoMaps::new(&view), output.json),
        Show::Crypto(Crypto::Ikev2(_) | Crypto::Session(_)) => Ok(ExitCode::SUCCESS),
        Show::AccessLists(lists) if lists.detail.is_some() => {
            page(&Detailed::new(&view).ok_or(LinkError::Nonsense)?, lists.output.json)
        }
        Show::AccessLists(lists) => page(&AccessLists::new(&view), lists.output.json),
        Show::Interfaces(output) => page(&Interfaces::new(&view), output.json),
        Show::Drops(output) => page(&Drops::new(&view), output.json),
        Show::Dataplane(Dataplane::Stages(output)) => page(&Stages::new(&view), output.json),
        Show::Dataplane(Dataplane::Memory(output)) => {
            let usage = Usage::of(observer.pid()).map_err(RunError::Process)?;
            page(&Memory::new(&view, usage), output.json)
        }
    }
}

/// Which SAs are meant by `peer ADDRESS`, `map NAME` or `interface NAME`.
fn only(words: &[String]) -> Result<Only, RunError> {
    match words {
        [] => Ok(Only::All),
        [what, which] => match what.as_str() {
            "peer" => Ok(Only::Peer(address(which)?)),
            "map" => Ok(Only::Map(which.clone())),
            "interface" => Ok(Only::Interface(which.clone())),
            _ => Err(RunError::Usage(format!("`{what}` is not `peer`, `map` or `interface`"))),
        },
        _ => Err(RunError::Usage("say `peer ADDRESS`, `map NAME` or `interface NAME`".to_owned())),
    }
}

fn address(text: &str) -> Result<IpAddr, RunError> {
    text.parse().map_err(|_| RunError::Usage(format!("`{text}` is no IP address")))
}

pub(crate) fn debug(sockets: &Sockets, what: &DebugCrypto) -> Result<ExitCode, RunError> {
    let (topic, following) = match what {
        DebugCrypto::Ikev2(following) => (Topic::Ikev2, following),
        DebugCrypto::Ipsec(following) => (Topic::Ipsec, following),
    };
    let peer = match following.peer.as_slice() {
        [] => None,
        [word, which] if word == "peer" => Some(address(which)?),
        [word, ..] => return Err(RunError::Usage(format!("`{word}` is not `peer`"))),
    };
    let mut printed = Ok(true);
    client::debug(&sockets.control, topic, peer, |said| {
        printed = if following.json {
            serde_json::to_string(&said).map_err(RunError::from).and_then(|line| print(&(line + "\n")))
        } else {
            print(&line(&said))
        };
        matches!(printed, Ok(true))
    })?;
    printed.map(|_| ExitCode::SUCCESS)
}

/// The time of day (UTC), and what happened.
fn line(said: &Said) -> String {
    let (milliseconds, of_day) = (said.at / 1_000_000 % 1000, said.at / 1_000_000_000 % 86_400);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03} {:5} {}\n", said.level, said.text)
}

fn page(page: &impl Page, json: bool) -> Result<ExitCode, RunError> {
    if json {
        print_json(page)?
    } else {
        print(&page.text())?
    };
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn stats(sockets: &Sockets, watch: Option<Duration>) -> Result<ExitCode, RunError> {
    let observer = Observer::connect(&sockets.dataplane)?;
    // Names of crypto maps make it nicer; it is whole without them.
    let facts = facts(sockets).ok();
    loop {
        let view = View::take(&observer, facts.clone(), pairs(sockets).unwrap_or_default())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let document = Stats::new(&view, now);
        match watch {
            None => {
                print_json(&document)?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(pause) => {
                if !print(&(serde_json::to_string(&document)? + "\n"))? {
                    return Ok(ExitCode::SUCCESS);
                }
                std::thread::sleep(pause);
            }
        }
    }
}

pub(crate) fn reload(sockets: &Sockets) -> Result<ExitCode, RunError> {
    match ask(&sockets.control, &Question::Reload)? {
        Answer::Reloaded { warnings } => {
            let mut text: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
            text += "reloaded\n";
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Answer::Refused { reason, diagnostics } => {
            for line in &diagnostics {
                eprintln!("{line}");
            }
            eprintln!("espalier: not reloaded, all is as before: {reason}");
            Ok(ExitCode::from(if diagnostics.is_empty() { 1 } else { WRONG_CONFIG }))
        }
        _ => Err(RunError::Ask(AskError::Nonsense(sockets.control.clone()))),
    }
}
