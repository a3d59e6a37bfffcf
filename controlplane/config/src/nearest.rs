//! What somebody probably meant.

use crate::secret::is_like_a_key;

/// Longer words are not compared, so that hostile text costs little.
const MAX_LEN: usize = 64;

/// Whether one is the other with few slips.
pub(crate) fn is_close(word: &str, other: &str) -> bool {
    distance(word, other).is_some()
}

/// Of the candidates the one that is closest to the word, if any is close. None that could be a key.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let candidates = candidates.into_iter().filter(|candidate| !is_like_a_key(candidate));
    let close = candidates.filter_map(|candidate| Some((distance(word, candidate)?, candidate)));
    close.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Slips between two words, case aside, if they are few for words of this length.
fn distance(word: &str, other: &str) -> Option<usize> {
    if word.len() > MAX_LEN || other.len() > MAX_LEN {
        return None;
    }
    let (len, other_len) = (word.chars().count(), other.chars().count());
    // One slip in a short word, two from six letters on, three from nine.
    let most = (len.max(other_len) / 3).min(3);
    if len.abs_diff(other_len) > most {
        return None;
    }
    let distance = strsim::osa_distance(&word.to_ascii_lowercase(), &other.to_ascii_lowercase());
    (distance <= most).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(nearest("permti", ["deny", "permit", "remark"]), Some("permit"));
        assert_eq!(nearest("TUNEL", ["TUNNEL", "OTHER"]), Some("TUNNEL"));
        assert_eq!(nearest("xyz", ["permit"]), None);
        assert_eq!(nearest(&"x".repeat(100), ["permit"]), None);
        assert!(is_close("sesion-key", "session-key"));
        assert!(!is_close("transform-set", "session-key"));
    }
}
