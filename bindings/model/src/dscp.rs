//! Differentiated services code points of outer headers.

use serde::{Serialize, Serializer};

/// What each code point (RFC 2474) of an inner header becomes in the outer one (RFC 4301, section 5.1.2.1, note 6, and RFC
/// 2983, section 3); of no meaning in transport mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DscpMap([u8; DscpMap::POINTS]);

impl DscpMap {
    /// How many code points there are.
    pub const POINTS: usize = 64;
    /// Each stays what it is.
    pub const COPY: DscpMap = {
        let mut map = [0; DscpMap::POINTS];
        let mut point = 0;
        while point < DscpMap::POINTS {
            map[point] = point as u8;
            point += 1;
        }
        DscpMap(map)
    };

    /// By inner code point; `None` if one of them is above 63.
    pub fn new(map: [u8; DscpMap::POINTS]) -> Option<DscpMap> {
        map.iter().all(|&point| usize::from(point) < DscpMap::POINTS).then_some(DscpMap(map))
    }

    /// The outer one for an inner one, of which the upper two bits do not count.
    #[inline]
    pub const fn of(&self, inner: u8) -> u8 {
        self.0[inner as usize % DscpMap::POINTS]
    }

    /// All of them, by inner code point.
    pub const fn points(&self) -> &[u8; DscpMap::POINTS] {
        &self.0
    }

    /// Whether each stays what it is.
    pub fn is_copy(&self) -> bool {
        *self == DscpMap::COPY
    }
}

/// As a list, by inner code point.
impl Serialize for DscpMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

impl Default for DscpMap {
    fn default() -> DscpMap {
        DscpMap::COPY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_mapped_and_bounded() {
        assert!((0..64).all(|point| DscpMap::default().of(point) == point) && DscpMap::COPY.is_copy());
        let mut map = *DscpMap::COPY.points();
        map[46] = 0;
        let mapped = DscpMap::new(map).unwrap();
        assert_eq!((mapped.of(46), mapped.of(10), mapped.is_copy()), (0, 10, false));
        map[3] = 64;
        assert_eq!(DscpMap::new(map), None);
    }
}
