//! A macro for the enums that cross the boundary as small numbers and have names for people.

/// Defines a C-like enum with stable numbers, `ALL`, `from_number`, `name` and `about`.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        $name:ident { $( $variant:ident = $number:literal, $text:literal, $about:literal; )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            $( #[doc = $about] $variant = $number, )+
        }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [$name] = &[ $( $name::$variant ),+ ];

            /// The value that has a number; `None` for a number that nothing has.
            pub const fn from_number(number: u64) -> Option<$name> {
                match number {
                    $( $number => Some($name::$variant), )+
                    _ => None,
                }
            }

            /// Its name for people and for JSON. Stable.
            pub const fn name(self) -> &'static str {
                match self { $( $name::$variant => $text, )+ }
            }

            /// What it means, in one line; the text of its documentation.
            pub const fn about(self) -> &'static str {
                match self { $( $name::$variant => $about, )+ }
            }
        }

        impl serde::Serialize for $name {
            /// As its name.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

pub(crate) use named_enum;
