//! `option_table!`: one list that is the table of the options, the struct in the tree, and the way between them.

/// Defines a struct with one field for each option, and the table of these options.
///
/// ```text
/// option_table! {
///     /// Documentation of the struct.
///     BatchOptions {
///         /// The help text of the option, which also documents the field.
///         max_nodes: u64 = OptionSpec::new("MAX_NODES", ValueType::Integer(1, 10));
///     }
/// }
/// ```
///
/// A field has the type [`OptionField`](super::OptionField) that fits the option's `ValueType`, and is `None` if the
/// option was not given. The order of the list is the order in HELP and in the canonical form of a statement.
macro_rules! option_table {
    (
        $(#[doc = $about:literal])+
        $options:ident {
            $(
                $(#[doc = $summary:literal])+
                $field:ident: $type:ty = $spec:expr;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $options {
            $(
                $(#[doc = $summary])+
                pub $field: Option<$crate::span::Spanned<$type>>,
            )+
        }

        impl $options {
            /// All options, in the order of the fields.
            pub const TABLE: &'static [$crate::options::OptionSpec] = &[
                $( $spec.summary(concat!($($summary),+).trim_ascii_start()), )+
            ];

            /// The option of this name or alias, in any case.
            pub fn spec(name: &str) -> Option<&'static $crate::options::OptionSpec> {
                Self::TABLE.iter().find(|spec| spec.is_named(name))
            }

            /// The options that were given, with their values, in the order of the table.
            pub fn given(
                &self,
            ) -> impl Iterator<
                Item = (
                    &'static $crate::options::OptionSpec,
                    $crate::span::Spanned<$crate::options::OptionValue>,
                ),
            > {
                let values = [ $(
                    self.$field.as_ref().map(|given| $crate::span::Spanned::new(
                        $crate::options::OptionField::to_value(&given.value),
                        given.span,
                    )),
                )+ ];
                let values = Self::TABLE.iter().zip(values);
                values.filter_map(|(spec, value)| Some((spec, value?)))
            }

            /// Where the value of the option of this name is written, if the option was given.
            pub fn span(&self, name: &str) -> Option<$crate::span::Span> {
                let mut given = self.given();
                given.find(|(spec, _)| spec.is_named(name)).map(|(_, value)| value.span)
            }

            /// The options with the values that `value` has for their names.
            pub(crate) fn collect(
                value: impl Fn(&'static str) -> Option<
                    $crate::span::Spanned<$crate::options::OptionValue>,
                >,
            ) -> Self {
                Self {
                    $(
                        $field: value($spec.name).and_then(|given| {
                            let typed = $crate::options::OptionField::from_value(given.value)?;
                            Some($crate::span::Spanned::new(typed, given.span))
                        }),
                    )+
                }
            }
        }
    };
}

pub(super) use option_table;

#[cfg(test)]
mod tests {
    use crate::options::{BatchOptions, JobOptions, OptionSpec, OptionValue, ValueType};
    use crate::span::Spanned;

    fn sample(name: &str, table: &[OptionSpec]) -> Option<Spanned<OptionValue>> {
        let spec = table.iter().find(|spec| spec.name == name)?;
        Some(Spanned::unplaced(match spec.value_type {
            ValueType::Boolean => OptionValue::Boolean(true),
            ValueType::Integer(min, _) | ValueType::IntegerOrUnlimited(min, _) => {
                OptionValue::Integer(min)
            }
            ValueType::Decimal(_)
            | ValueType::Text
            | ValueType::Moment
            | ValueType::Nodes
            | ValueType::Name(_)
            | ValueType::Schedule
            | ValueType::Misfire => OptionValue::Text("x".to_owned()),
        }))
    }

    #[test]
    fn every_field_has_the_type_of_its_option() {
        let batch = BatchOptions::collect(|name| sample(name, BatchOptions::TABLE));
        assert_eq!(batch.given().count(), BatchOptions::TABLE.len());
        let job = JobOptions::collect(|name| sample(name, JobOptions::TABLE));
        assert_eq!(job.given().count(), JobOptions::TABLE.len());
        for (spec, value) in batch.given() {
            assert_eq!(sample(spec.name, BatchOptions::TABLE), Some(value));
        }
        for (spec, value) in job.given() {
            assert_eq!(sample(spec.name, JobOptions::TABLE), Some(value));
        }
    }

    #[test]
    fn only_given_options_are_listed_with_their_place() {
        let none = JobOptions::default();
        assert_eq!((none.given().count(), none.span("UID")), (0, None));
        let one = JobOptions {
            uid: Some(Spanned::new("1".to_owned(), crate::span::Span::new(3, 6))),
            ..none
        };
        assert_eq!(one.span("uid"), Some(crate::span::Span::new(3, 6)));
        assert_eq!(one.span("NAME"), None);
    }
}
