//! AFFINITY and JOB_AFFINITY as typed: a list in one string, sometimes with quotes copied from a document.

/// The members of a typed affinity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AffinityList {
    /// Trimmed, without quotes.
    pub members: Vec<String>,
    /// Quotes were left out.
    pub had_quotes: bool,
}

impl AffinityList {
    /// Splits at commas, trims, and leaves out quotes, which are never part of a name.
    pub fn read(text: &str) -> Self {
        let is_quote = |c: char| {
            matches!(
                c,
                '\'' | '"' | '\u{2018}' | '\u{2019}' | '\u{201C}' | '\u{201D}'
            )
        };
        let members = text
            .split(',')
            .map(|member| member.replace(is_quote, "").trim().to_owned())
            .filter(|member| !member.is_empty())
            .collect();
        Self {
            members,
            had_quotes: text.contains(is_quote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_split_trimmed_and_unquoted() {
        let check = |text: &str, members: &[&str], had_quotes: bool| {
            let read = AffinityList::read(text);
            assert_eq!(read.members, members, "{text}");
            assert_eq!(read.had_quotes, had_quotes, "{text}");
        };
        check("10.21.2.102", &["10.21.2.102"], false);
        check(
            "DC1, DC2 ,10.21.1.121",
            &["DC1", "DC2", "10.21.1.121"],
            false,
        );
        check("’DC1’, ’10.21.1.121’", &["DC1", "10.21.1.121"], true);
        check("", &[], false);
        check(" , ", &[], false);
    }
}
