//! The attributes of a tag (RFC 8216 §4.2), as tolerant as players are.

use std::borrow::Cow;

use crate::error::{Limit, PlaylistError, Problem};
use crate::limits::ATTRIBUTES;
use crate::variables::Definitions;

/// A tag that has attributes, and what is needed to read and to blame it.
#[derive(Clone, Debug)]
pub(crate) struct Tag<'a> {
    pub(crate) line: u32,
    pub(crate) name: &'static str,
    attributes: Vec<(&'a str, &'a str)>,
    variables: &'a Definitions,
}

impl<'a> Tag<'a> {
    /// Reads the list behind a tag's colon.
    pub(crate) fn read(
        line: u32,
        name: &'static str,
        value: &'a str,
        variables: &'a Definitions,
    ) -> Result<Self, PlaylistError> {
        let mut attributes = Vec::new();
        let mut rest = value;
        while let Some((pair, after)) = next_pair(rest) {
            rest = after;
            let Some(pair) = pair else { continue };
            if attributes.len() == ATTRIBUTES {
                return Err(PlaylistError::TooLarge {
                    limit: Limit::Attributes,
                    most: ATTRIBUTES as u64,
                    line,
                });
            }
            attributes.push(pair);
        }
        Ok(Self {
            line,
            name,
            attributes,
            variables,
        })
    }

    /// The value of an attribute as it stands, without quotes. Of two the first counts; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.attributes.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    }

    /// The value with its variables replaced.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, PlaylistError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let replaced = self.variables.replace(self.line, self.name, value)?;
        Ok(Some(replaced).filter(|value| !value.is_empty()))
    }

    /// The value, which must be there, with its variables replaced.
    pub(crate) fn need(&self, name: &'static str) -> Result<Cow<'a, str>, PlaylistError> {
        self.text(name)?
            .ok_or_else(|| self.wrong(Problem::Missing(name)))
    }

    /// Whether it says `YES`.
    pub(crate) fn says_yes(&self, name: &str) -> bool {
        self.get(name) == Some("YES")
    }

    /// All of them, as they stand.
    pub(crate) fn all(&self) -> &[(&'a str, &'a str)] {
        &self.attributes
    }

    pub(crate) fn wrong(&self, problem: Problem) -> PlaylistError {
        PlaylistError::Tag {
            line: self.line,
            tag: self.name,
            problem,
        }
    }
}

/// A pair of the list, `None` where there is something that is none, and what follows it; `None` at the end.
type Pair<'a> = (Option<(&'a str, &'a str)>, &'a str);

fn next_pair(list: &str) -> Option<Pair<'_>> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    if list.is_empty() {
        return None;
    }
    let end = list.find([',', '=']).unwrap_or(list.len());
    let (name, rest) = list.split_at(end);
    let Some(value) = rest.strip_prefix('=') else {
        // A name without a value.
        return Some((None, rest));
    };
    let value = value.trim_start_matches([' ', '\t']);
    if let Some(quoted) = value.strip_prefix('"') {
        // After a quote that nothing closes, nobody knows what belongs to what.
        let Some((inside, after)) = quoted.split_once('"') else {
            return Some((None, ""));
        };
        let next = after.find(',').unwrap_or(after.len());
        return Some((Some((name.trim(), inside)), &after[next..]));
    }
    let end = value.find(',').unwrap_or(value.len());
    let (bare, after) = value.split_at(end);
    Some((Some((name.trim(), bare.trim())), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: &[(&str, &str)]) {
        let variables = Definitions::new(0);
        let tag = Tag::read(1, "EXT-X-TEST", list, &variables).expect("few attributes");
        assert_eq!(tag.all(), expected, "{list}");
    }

    #[test]
    fn attributes_are_read_as_far_as_they_can_be() {
        check("", &[]);
        check("A=1", &[("A", "1")]);
        check(
            r#"A=1,B="x,y=z",C=0x1F"#,
            &[("A", "1"), ("B", "x,y=z"), ("C", "0x1F")],
        );
        check(r#" A = 1 , B = "x" , "#, &[("A", "1"), ("B", "x")]);
        check(r#"A,B=2,,=3,C="""#, &[("B", "2"), ("", "3"), ("C", "")]);
        check(r#"A="x"junk,B=1"#, &[("A", "x"), ("B", "1")]);
        check(r#"A=un"quoted,B=1"#, &[("A", "un\"quoted"), ("B", "1")]);
        // A lone quote.
        check(r#"A=1,URI=",B=2"#, &[("A", "1")]);
        check(r#"URI=""#, &[]);
        check("\u{e9}=\u{e9},\u{1f3b5}", &[("\u{e9}", "\u{e9}")]);
    }

    #[test]
    fn of_two_the_first_counts_and_an_empty_one_is_none() {
        let variables = Definitions::new(0);
        let tag = Tag::read(1, "EXT-X-TEST", r#"A=1,A=2,B="",C=YES,D=yes"#, &variables);
        let tag = tag.expect("few attributes");
        assert_eq!(tag.get("A"), Some("1"));
        assert_eq!(tag.get("B"), None);
        assert!(tag.says_yes("C") && !tag.says_yes("D") && !tag.says_yes("E"));
        let missing = tag.need("B").err();
        assert_eq!(missing, Some(tag.wrong(Problem::Missing("B"))));
    }

    #[test]
    fn there_are_at_most_sixty_four() {
        let variables = Definitions::new(0);
        let list = |count| "A=1,".repeat(count);
        for (count, fits) in [(64, true), (65, false), (16_000, false)] {
            let list = list(count);
            let read = Tag::read(1, "EXT-X-TEST", &list, &variables);
            assert_eq!(read.is_ok(), fits, "{count}");
        }
    }
}
