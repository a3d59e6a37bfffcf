//! How `rte_acl` walks its tries: one packet at a time, or as many as a vector has places.

use std::fmt;

/// One of them, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Method(&'static str);

impl Method {
    /// Those that this processor has, the widest last.
    pub fn available() -> Vec<Method> {
        let mut all = vec![Method("scalar")];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx512 = has!("avx512f") && has!("avx512vl") && has!("avx512cd") && has!("avx512bw");
            let more = [
                ("sse", has!("sse4.1")),
                ("avx2", has!("avx2")),
                ("avx512x16", avx512),
                ("avx512x32", avx512),
            ];
            all.extend(more.into_iter().filter_map(|(name, has)| has.then_some(Method(name))));
        }
        #[cfg(target_arch = "aarch64")]
        all.push(Method("neon"));
        all
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_has_a_method() {
        assert_eq!(Method::available().first(), Some(&Method("scalar")));
    }
}
