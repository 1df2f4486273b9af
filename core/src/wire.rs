//! Bytes on a wire that stand for one of a list.

/// An enum that goes over a wire as one byte: the list stands here once, with the conversions to
/// and from the byte. The error of `try_from` is the byte that stands for nothing.
macro_rules! wire_enum {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $byte:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        $visibility enum $name {
            $($(#[$doc])* $variant = $byte,)+
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                value as u8
            }
        }

        impl TryFrom<u8> for $name {
            type Error = u8;

            fn try_from(byte: u8) -> Result<Self, u8> {
                match byte {
                    $($byte => Ok(Self::$variant),)+
                    unknown => Err(unknown),
                }
            }
        }
    };
}

pub(crate) use wire_enum;
