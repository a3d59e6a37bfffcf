//! GHASH (NIST SP 800-38D, section 6.4) as POLYVAL (RFC 8452, appendix A): with blocks turned over and a hash key that is
//! doubled beforehand, products need no shifts. [`Sum`] collects products that are reduced only once.

use super::v128::V128;
use super::vector::Vector;
use std::arch::x86_64::*;

/// x^127 + x^126 + x^121, the part of the field's polynomial that a reduction multiplies by.
const POLYNOMIAL: i64 = 0xC2 << 56;

/// A sum of products of 256 bits in each lane, not yet reduced.
pub(super) struct Sum<V> {
    low: V,
    /// Half of it belongs to each of the others.
    middle: V,
    high: V,
}

impl<V: Vector> Sum<V> {
    /// Nothing.
    #[inline(always)]
    pub(super) unsafe fn zero() -> Sum<V> {
        // SAFETY: the caller has V's instructions.
        unsafe { Sum { low: V::zero(), middle: V::zero(), high: V::zero() } }
    }

    /// Adds the product of two.
    #[inline(always)]
    pub(super) unsafe fn add(&mut self, a: V, b: V) {
        // SAFETY: the caller has V's instructions.
        unsafe {
            self.low = self.low.xor(a.multiply::<0x00>(b));
            self.middle = self.middle.xor3(a.multiply::<0x01>(b), a.multiply::<0x10>(b));
            self.high = self.high.xor(a.multiply::<0x11>(b));
        }
    }

    /// Adds parts of products: low halves by low halves, two that are between, high by high; outer ones of up to two at
    /// once, as three are summed up in one step where two are.
    #[inline(always)]
    pub(super) unsafe fn add_parts<const N: usize>(&mut self, low: [V; N], between: [V; 2], high: [V; N]) {
        const { assert!(N <= 2) };
        // SAFETY: the caller has V's instructions.
        unsafe {
            self.middle = self.middle.xor3(between[0], between[1]);
            if N == 1 {
                self.low = self.low.xor(low[0]);
                self.high = self.high.xor(high[0]);
            } else if N == 2 {
                self.low = self.low.xor3(low[0], low[1]);
                self.high = self.high.xor3(high[0], high[1]);
            }
        }
    }

    /// What it is if all between was multiplied as sums of halves, so that it has low and high in it, too.
    #[inline(always)]
    pub(super) unsafe fn by_karatsuba(self) -> Sum<V> {
        // SAFETY: the caller has V's instructions.
        unsafe { Sum { middle: self.middle.xor3(self.low, self.high), ..self } }
    }

    /// Adds two products, which where three are summed up at once is less work than one after the other.
    #[inline(always)]
    pub(super) unsafe fn add_two(&mut self, a: [V; 2], b: [V; 2]) {
        // SAFETY: the caller has V's instructions.
        unsafe {
            self.low = self.low.xor3(a[0].multiply::<0x00>(b[0]), a[1].multiply::<0x00>(b[1]));
            let middle = self.middle.xor3(a[0].multiply::<0x01>(b[0]), a[0].multiply::<0x10>(b[0]));
            self.middle = middle.xor3(a[1].multiply::<0x01>(b[1]), a[1].multiply::<0x10>(b[1]));
            self.high = self.high.xor3(a[0].multiply::<0x11>(b[0]), a[1].multiply::<0x11>(b[1]));
        }
    }

    /// See [`Vector::pin`].
    #[inline(always)]
    pub(super) unsafe fn pin(&mut self) {
        // SAFETY: the caller has V's instructions.
        unsafe {
            self.low = self.low.pin();
            self.middle = self.middle.pin();
            self.high = self.high.pin();
        }
    }

    /// Each lane by itself, reduced: Montgomery's reduction by 2^128. What is low goes into the middle, and that into what is
    /// high, 64 bits further each time.
    #[inline(always)]
    pub(super) unsafe fn reduce(self) -> V {
        // SAFETY: the caller has V's instructions.
        unsafe {
            let Sum { low, middle, high } = self;
            let polynomial = V::broadcast(_mm_set_epi64x(0, POLYNOMIAL));
            let middle = middle.xor3(low.swap(), low.multiply::<0x00>(polynomial));
            high.xor3(middle.swap(), middle.multiply::<0x00>(polynomial))
        }
    }

    /// All lanes' sum, reduced. Halves are added up first: narrow instructions leave more room for others than wide ones,
    /// and half a vector takes no more of them than a block.
    #[inline(always)]
    pub(super) unsafe fn total(self) -> __m128i {
        // SAFETY: the caller has V's instructions, which are no fewer than those of half the width.
        unsafe {
            let Sum { low, middle, high } = self;
            Sum { low: low.fold_once(), middle: middle.fold_once(), high: high.fold_once() }.reduce().fold()
        }
    }
}

/// The product of two in the field: a * b / x^128.
///
/// # Safety
/// The processor has PCLMULQDQ and SSE 4.1.
#[inline(always)]
pub(super) unsafe fn dot(a: __m128i, b: __m128i) -> __m128i {
    // SAFETY: the caller has the instructions of 128 bits.
    unsafe {
        let mut sum = Sum::zero();
        sum.add(V128::broadcast(a), V128::broadcast(b));
        sum.total()
    }
}
