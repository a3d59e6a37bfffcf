//! Arithmetic by somebody else: Diffie-Hellman and signatures, which are most of what raising a tunnel costs and what a
//! flood would buy, done on the caller's threads.
//!
//! What a message or a task is going to take is foreseen before it is handled, and given away. It is handled when that is
//! done, and finds it here; whatever was not foreseen right is done at once. So nothing that is agreed on depends on who
//! does the arithmetic.

use crate::auth::{PeerHashes, Verifying, sign};
use crate::crypto::{CryptoError, DhError, Group, KeyPair, Shared};
use crate::message::{AuthMethod, IkeSpi};
use crate::sa::Context;
use std::sync::Arc;

/// Arithmetic that an endpoint waits for. Give what [`Job::run`] gives back to [`super::Endpoint::handle_done`].
pub struct Job {
    id: u64,
    owner: Owner,
    works: Vec<Work>,
}

/// A [`Job`] that has been done.
pub struct Done {
    pub(super) id: u64,
    pub(super) owner: Owner,
    pub(super) ready: Box<Ready>,
}

/// Who waits for a job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// A first request.
    First,
    /// An IKE SA.
    Ike(IkeSpi),
}

/// What is to be computed.
pub(crate) enum Work {
    /// A fresh pair.
    Generate(Group),
    /// The answering side's share.
    Answer(Group, Vec<u8>),
    /// The beginning side's second half.
    Agree(Arc<KeyPair>, Vec<u8>),
    /// Whether the peer's signature is right, and its certificate.
    Verify(Verifying),
    /// Our signature.
    Sign(Signing),
}

/// What to sign, and how.
#[derive(Clone, PartialEq)]
pub(crate) struct Signing {
    pub(crate) credential: Arc<crate::auth::Credential>,
    pub(crate) hashes: PeerHashes,
    pub(crate) octets: Vec<u8>,
}

type Share = Result<(Vec<u8>, Shared), DhError>;
type Signature = Result<(AuthMethod, Vec<u8>), CryptoError>;
/// A question, and what came of it.
type Answered<Q, A> = Option<(Q, A)>;

/// What was computed, and of what: at most one thing of each kind.
#[derive(Default)]
pub(crate) struct Ready {
    pair: Answered<Group, Result<KeyPair, CryptoError>>,
    share: Answered<(Group, Vec<u8>), Share>,
    shared: Answered<(Arc<KeyPair>, Vec<u8>), Result<Shared, DhError>>,
    verified: Answered<Verifying, Result<(), String>>,
    signature: Answered<Signing, Signature>,
}

impl Signing {
    fn run(&self) -> Signature {
        sign(&self.credential, self.hashes, &self.octets)
    }
}

impl Job {
    /// Does it. It takes from some ten microseconds (group 31) to some milliseconds (group 16, or a signature by RSA).
    pub fn run(self) -> Done {
        let mut ready = Box::<Ready>::default();
        for work in self.works {
            match work {
                Work::Generate(group) => ready.pair = Some((group, group.generate())),
                Work::Answer(group, peer) => {
                    let share = group.answer(&peer);
                    ready.share = Some(((group, peer), share));
                }
                Work::Agree(pair, peer) => {
                    let shared = pair.agree(&peer);
                    ready.shared = Some(((pair, peer), shared));
                }
                Work::Verify(verifying) => {
                    let verified = verifying.run();
                    let is_wrong = verified.is_err();
                    ready.verified = Some((verifying, verified));
                    if is_wrong {
                        // To somebody else we prove nothing.
                        break;
                    }
                }
                Work::Sign(signing) => {
                    let signature = signing.run();
                    ready.signature = Some((signing, signature));
                }
            }
        }
        Done { id: self.id, owner: self.owner, ready }
    }
}

/// What is computed may be secret, and what of is long.
impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({} for {:?})", self.id, self.owner)
    }
}

/// What is under way.
#[derive(Default)]
pub(crate) struct Jobs {
    last: u64,
    under_way: usize,
}

impl Jobs {
    /// One has come back.
    pub(super) fn came_back(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

impl Context<'_> {
    /// Gives arithmetic away. Its number; `None` if too much is under way already. Of first requests, which cost strangers
    /// nothing, there may be half as much as of all: who has proved anything is not kept waiting by them.
    pub(crate) fn give_away(&mut self, owner: Owner, works: Vec<Work>) -> Option<u64> {
        let most = match owner {
            Owner::First => self.settings.most_jobs / 2,
            Owner::Ike(_) => self.settings.most_jobs,
        };
        if self.jobs.under_way >= most {
            self.counters.busy += 1;
            return None;
        }
        self.jobs.under_way += 1;
        self.jobs.last += 1;
        let id = self.jobs.last;
        self.outputs.push_back(super::Output::Compute(Job { id, owner, works }));
        Some(id)
    }

    /// A fresh pair of that group.
    pub(crate) fn generate(&mut self, group: Group) -> Result<Arc<KeyPair>, CryptoError> {
        let pair = match self.ready.pair.take() {
            Some((of, pair)) if of == group => pair,
            _ => self.at_once(|| group.generate()),
        };
        pair.map(Arc::new)
    }

    /// The answering side's share of an exchange.
    pub(crate) fn answer(&mut self, group: Group, peer: &[u8]) -> Share {
        match self.ready.share.take() {
            Some(((of, to), share)) if of == group && to == peer => share,
            _ => self.at_once(|| group.answer(peer)),
        }
    }

    /// The beginning side's second half.
    pub(crate) fn agree(&mut self, pair: &Arc<KeyPair>, peer: &[u8]) -> Result<Shared, DhError> {
        match self.ready.shared.take() {
            Some(((of, with), shared)) if Arc::ptr_eq(&of, pair) && with == peer => shared,
            _ => self.at_once(|| pair.agree(peer)),
        }
    }

    /// Whether the peer's signature is right; else why not.
    pub(crate) fn verify(&mut self, verifying: &Verifying) -> Result<(), String> {
        match self.ready.verified.take() {
            Some((of, verified)) if of == *verifying => verified,
            _ => self.at_once(|| verifying.run()),
        }
    }

    /// Our signature.
    pub(crate) fn sign(&mut self, signing: &Signing) -> Signature {
        match self.ready.signature.take() {
            Some((of, signature)) if of == *signing => signature,
            _ => self.at_once(|| signing.run()),
        }
    }

    fn at_once<T>(&mut self, compute: impl FnOnce() -> T) -> T {
        self.counters.computed_at_once += 1;
        compute()
    }
}
