//! Enums of the engine with their names in the API. A new variant in the engine does not compile without a name here.

macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident of $engine:ident, $case:tt { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = $case)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl From<$engine> for $name {
            fn from(status: $engine) -> Self {
                match status {
                    $($engine::$variant => Self::$variant),+
                }
            }
        }

        impl From<$name> for $engine {
            fn from(status: $name) -> Self {
                match status {
                    $($name::$variant => Self::$variant),+
                }
            }
        }
    };
}
pub(crate) use mirror;
