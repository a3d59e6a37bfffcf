//! From rules to an image.
//!
//! [`pattern`] turns rules into words, [`plan`] parts them into groups by what look-ups [`cost`], [`tree`] grows a tree over
//! each group, cutting as [`cut`] says, and [`emit`] lays everything out. Changes of a list are [grafted](graft) on what it was
//! compiled to.

mod cost;
mod cut;
mod emit;
mod graft;
mod pattern;
mod plan;
mod tree;

use crate::Rule;
use crate::block::{self, LANES};
use crate::layout::{ACTION_BYTES, Entry, HEADER_WORDS, LINE, NONE, Ranks, V4, V6};
pub(crate) use graft::{Change, Homes, Stock, Twigs, homes};
use pattern::{Pattern, of_rules};

/// What an image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rules at most.
    pub rules: usize,
    /// Bytes of the image at most.
    pub bytes: usize,
}

impl Default for Limits {
    /// A million rules, 1 GiB.
    fn default() -> Limits {
        Limits { rules: 1 << 20, bytes: 1 << 30 }
    }
}

/// Why rules were not compiled. The fault is the operator's, who asks for too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// More rules than allowed.
    #[error(
        "{rules} rules are more than the {limit} that one policy may have; merge prefixes or split the policy"
    )]
    TooManyRules {
        /// What there are.
        rules: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A larger image than allowed.
    #[error("the compiled rules take more than {limit} bytes; merge prefixes or split the policy")]
    TooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// A change of too much of what it lies over.
    #[error("so much of the list changed that it must be compiled as a whole")]
    TooMuchChanged,
}

/// Compiled rules, ready to be handed to the data plane. The same rules give the same bytes.
pub struct Image {
    /// With room in front, so that the image itself begins on a cache line.
    bytes: Vec<u8>,
    start: usize,
}

impl Image {
    /// An image of zeros.
    pub(crate) fn zeroed(len: usize) -> Image {
        let bytes = vec![0; len + LINE];
        let start = bytes.as_ptr().align_offset(LINE).min(LINE);
        Image { bytes, start }
    }

    fn len(&self) -> usize {
        self.bytes.len() - LINE
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        let end = self.start + self.len();
        &mut self.bytes[self.start..end]
    }

    /// The bytes, for [`Classifier::verify`](crate::Classifier::verify).
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len()]
    }
}

impl Clone for Image {
    fn clone(&self) -> Image {
        let mut image = Image::zeroed(self.len());
        image.as_bytes_mut().copy_from_slice(self.as_bytes());
        image
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Image {}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} bytes)", self.len())
    }
}

impl AsRef<[u8]> for Image {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Compiles rules in their order, on as many cores as rayon's pool has.
///
/// # Errors
/// [`CompileError`], before more memory is taken than the limits allow (a small multiple of them).
pub fn compile(rules: &[Rule], limits: Limits) -> Result<Image, CompileError> {
    let ranks = Ranks::of(rules.len().min(NONE as usize / 2));
    let v4 = of_rules(rules, |place| ranks.rank(place));
    let v6 = of_rules(rules, |place| ranks.rank(place));
    let per_rule = spare(rules, limits, &v4, &v6)? / rules.len().max(1);
    let image = emit::emit(
        0,
        (rules, ranks),
        &grow(&v4, per_rule),
        v4.as_slice(),
        &grow(&v6, per_rule),
        v6.as_slice(),
    );
    within(image, limits)
}

/// Compiles a change alone: an image whose first roots are trees that lie over all of the base, and whose others are leaves that
/// take the place of some of the base's. In front of it are as many bytes as `front` says, which come to a multiple of a line.
pub(crate) fn compile_over(
    stock: &Stock<'_>,
    change: Change<'_>,
    limits: Limits,
    front: impl FnOnce(&[Twigs; 2]) -> usize,
) -> Result<(Image, [Twigs; 2]), CompileError> {
    let (v4, v6) = rayon::join(|| graft::graft::<V4>(stock, change), || graft::graft::<V6>(stock, change));
    let (v4, v6) = (v4?, v6?);
    let rules: Vec<Rule> = change.added.iter().map(|(_, rule)| *rule).collect();
    let twigs = [v4.twigs, v6.twigs];
    let image = emit::emit(front(&twigs), (&rules, stock.ranks), &v4.trees, &v4.rules, &v6.trees, &v6.rules);
    Ok((within(image, limits)?, twigs))
}

/// The bytes that are left for copies and tables when each rule is there once.
fn spare(
    rules: &[Rule],
    limits: Limits,
    v4: &[Pattern<V4>],
    v6: &[Pattern<V6>],
) -> Result<usize, CompileError> {
    // Rules' numbers and places of entries have fewer than 32 bits.
    let most = limits.rules.min(NONE as usize / 2).min(Entry::PLACES);
    if rules.len() > most {
        return Err(CompileError::TooManyRules { rules: rules.len(), limit: most });
    }
    let lane = |n: usize| block::bytes(n, false) / LANES;
    let least =
        HEADER_WORDS * 4 + (rules.len() + 1) * ACTION_BYTES + v4.len() * lane(V4) + v6.len() * lane(V6);
    limits.bytes.checked_sub(least).ok_or(CompileError::TooLarge { limit: limits.bytes })
}

fn within(image: Option<Image>, limits: Limits) -> Result<Image, CompileError> {
    let image = image.filter(|image| image.len() <= limits.bytes);
    image.ok_or(CompileError::TooLarge { limit: limits.bytes })
}

/// The trees over the patterns of one family, in about so many bytes a rule.
fn grow<const N: usize>(patterns: &[Pattern<N>], bytes: usize) -> Vec<tree::Tree> {
    // A copy takes a lane, and twice that for lanes left empty and for tables.
    let copies = (bytes / (3 * block::bytes(N, false) / LANES)).clamp(1, tree::COPIES);
    plan::forest(patterns, patterns.len() * copies)
}
