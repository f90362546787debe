//! EXT-X-DEFINE: names that stand for text.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use crate::attributes::Tag;
use crate::error::{Limit, PlaylistError, Problem};
use crate::limits::{LINE_BYTES, VARIABLES};

const TAG: &str = "EXT-X-DEFINE";

/// So many times as much text as a playlist may have it may come to with its variables replaced.
const EXPANSION: usize = 4;

/// The variables of a playlist. Their values may be secrets: they show themselves in no print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<Box<str>, Box<str>>);

impl Variables {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the tag defines: by name and value, from the multivariant playlist that led here, or from the query of this
    /// playlist's own URL, as it stands there.
    fn definition(
        tag: &Tag<'_>,
        imports: &Self,
        query: Option<&str>,
    ) -> Result<(Box<str>, Box<str>), PlaylistError> {
        let (attribute, name) = ["NAME", "IMPORT", "QUERYPARAM"]
            .into_iter()
            .find_map(|attribute| Some((attribute, tag.get(attribute)?)))
            .ok_or_else(|| tag.wrong(Problem::Missing("NAME")))?;
        if !is_name(name) {
            return Err(tag.wrong(Problem::Invalid("NAME")));
        }
        let value = match attribute {
            // An empty value is one.
            "NAME" => tag
                .all()
                .iter()
                .find(|(known, _)| *known == "VALUE")
                .map(|(_, value)| *value),
            "IMPORT" => imports.0.get(name).map(|value| &**value),
            _ => query.and_then(|query| parameter(query, name)),
        };
        let undefined = match attribute {
            "NAME" => Problem::Missing("VALUE"),
            _ => Problem::UndefinedVariable,
        };
        let value = value.ok_or_else(|| tag.wrong(undefined))?;
        Ok((name.into(), value.into()))
    }
}

/// The variables of a playlist while it is read.
///
/// A name may be short, its value long, and whatever names it a line of a few bytes: what all of that comes to is counted.
#[derive(Debug)]
pub(crate) struct Definitions {
    variables: Variables,
    /// Bytes of text that there may still be with variables replaced.
    left: Cell<usize>,
    most: usize,
}

impl Definitions {
    /// With room for some times as much text as a playlist of so many bytes can have.
    pub(crate) fn new(bytes: usize) -> Self {
        let most = bytes.saturating_mul(EXPANSION);
        Self {
            variables: Variables::default(),
            left: Cell::new(most),
            most,
        }
    }

    pub(crate) fn into_variables(self) -> Variables {
        self.variables
    }

    /// Reads a tag, and adds what it defines. The last of one name counts.
    pub(crate) fn define(
        &mut self,
        line: u32,
        value: &str,
        imports: &Variables,
        query: Option<&str>,
    ) -> Result<(), PlaylistError> {
        let none = Self::new(0);
        let tag = Tag::read(line, TAG, value, &none)?;
        // Looked through each time.
        let looked = query.filter(|_| tag.get("QUERYPARAM").is_some());
        self.count(line, looked.map_or(0, str::len))?;
        let (name, value) = Variables::definition(&tag, imports, query)?;
        self.count(line, value.len())?;
        let known = &mut self.variables.0;
        if known.len() == VARIABLES && !known.contains_key(&name) {
            return Err(PlaylistError::TooLarge {
                limit: Limit::Variables,
                most: VARIABLES as u64,
                line,
            });
        }
        known.insert(name, value);
        Ok(())
    }

    /// Replaces every `{$NAME}` by its value. What a value holds is not looked into again.
    pub(crate) fn replace<'a>(
        &self,
        line: u32,
        tag: &'static str,
        text: &'a str,
    ) -> Result<Cow<'a, str>, PlaylistError> {
        if !text.contains("{$") {
            return Ok(Cow::Borrowed(text));
        }
        let (mut replaced, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("{$") {
            replaced.push_str(before);
            // Braces around something else are just that.
            let named = after.split_once('}').filter(|(name, _)| is_name(name));
            let Some((name, after)) = named else {
                replaced.push_str("{$");
                rest = after;
                continue;
            };
            let problem = Problem::UndefinedVariable;
            let undefined = PlaylistError::Tag { line, tag, problem };
            replaced.push_str(self.variables.0.get(name).ok_or(undefined)?);
            rest = after;
            if replaced.len() + rest.len() > LINE_BYTES {
                return Err(PlaylistError::TooLarge {
                    limit: Limit::LineBytes,
                    most: LINE_BYTES as u64,
                    line,
                });
            }
        }
        replaced.push_str(rest);
        self.count(line, replaced.len())?;
        Ok(Cow::Owned(replaced))
    }

    fn count(&self, line: u32, bytes: usize) -> Result<(), PlaylistError> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or(PlaylistError::TooLarge {
            limit: Limit::ReplacedBytes,
            most: self.most as u64,
            line,
        })?);
        Ok(())
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Variables({})", self.0.len())
    }
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.bytes().all(known)
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(pairs: &[(&str, &str)]) -> Definitions {
        let mut variables = Definitions::new(1 << 20);
        for (name, value) in pairs {
            let list = format!("NAME=\"{name}\",VALUE=\"{value}\"");
            let defined = variables.define(1, &list, &Variables::default(), None);
            defined.expect("few variables");
        }
        variables
    }

    #[test]
    fn variables_are_replaced_once_and_by_what_is_defined() {
        let variables = defined(&[("a", "1"), ("b-_B", "{$a}"), ("empty", "")]);
        for (text, expected) in [
            ("plain", Some("plain")),
            ("x{$a}y{$a}", Some("x1y1")),
            // No recursion.
            ("{$b-_B}", Some("{$a}")),
            ("<{$empty}>", Some("<>")),
            // Not variables.
            ("{$}", Some("{$}")),
            ("{$a", Some("{$a")),
            ("{$a b}", Some("{$a b}")),
            ("{a}$", Some("{a}$")),
            ("{${$a}}", Some("{$1}")),
            ("{$A}", None),
            ("{$nobody}", None),
        ] {
            let replaced = variables.replace(7, "URI", text);
            let undefined = PlaylistError::Tag {
                line: 7,
                tag: "URI",
                problem: Problem::UndefinedVariable,
            };
            let expected = expected.map(Cow::Borrowed).ok_or(undefined);
            assert_eq!(replaced, expected, "{text}");
        }
    }

    #[test]
    fn a_line_does_not_explode() {
        let variables = defined(&[("a", &"x".repeat(1000))]);
        let text = "{$a}".repeat(65);
        let fits = variables.replace(1, "URI", &text);
        assert_eq!(fits.map(|text| text.len()), Ok(65_000));
        for count in [66, 16_000] {
            let text = "{$a}".repeat(count);
            let refused = variables.replace(1, "URI", &text);
            let is_limit = matches!(
                refused,
                Err(PlaylistError::TooLarge {
                    limit: Limit::LineBytes,
                    ..
                })
            );
            assert!(is_limit, "{count}");
        }
    }

    #[test]
    fn variables_come_from_a_value_an_import_or_the_query() {
        let imports = defined(&[("host", "a.test")]).into_variables();
        let query = Some("x=1&token=a%2Fb&flag&empty=");
        for (list, expected) in [
            (r#"NAME="n",VALUE="v""#, Ok(("n", "v"))),
            (r#"NAME="n",VALUE="""#, Ok(("n", ""))),
            (r#"IMPORT="host""#, Ok(("host", "a.test"))),
            (r#"QUERYPARAM="token""#, Ok(("token", "a%2Fb"))),
            (r#"QUERYPARAM="empty""#, Ok(("empty", ""))),
            (r#"NAME="n""#, Err(Problem::Missing("VALUE"))),
            (r#"VALUE="v""#, Err(Problem::Missing("NAME"))),
            (r#"NAME="a b",VALUE="v""#, Err(Problem::Invalid("NAME"))),
            (r#"IMPORT="nobody""#, Err(Problem::UndefinedVariable)),
            (r#"QUERYPARAM="flag""#, Err(Problem::UndefinedVariable)),
            (r#"QUERYPARAM="nobody""#, Err(Problem::UndefinedVariable)),
        ] {
            let none = Definitions::new(0);
            let tag = Tag::read(3, TAG, list, &none).expect("few attributes");
            let definition = Variables::definition(&tag, &imports, query);
            let expected = expected
                .map(|(name, value)| (name.into(), value.into()))
                .map_err(|problem| tag.wrong(problem));
            assert_eq!(definition, expected, "{list}");
        }
    }

    #[test]
    fn neither_do_many_lines_together() {
        let mut variables = Definitions::new(1000);
        let none = Variables::default();
        let list = format!("NAME=\"a\",VALUE=\"{}\"", "x".repeat(1000));
        assert_eq!(variables.define(1, &list, &none, None), Ok(()));
        let of = |outcome: Result<(), PlaylistError>| match outcome {
            Err(PlaylistError::TooLarge { limit, most, line }) => Some((limit, most, line)),
            _ => None,
        };
        for line in 2..4 {
            assert_eq!(of(variables.replace(line, "URI", "{$a}").map(drop)), None);
        }
        let over = Some((Limit::ReplacedBytes, 4000, 9));
        assert_eq!(of(variables.replace(9, "URI", "{$a}!").map(drop)), over);
        // What is copied or looked through for a name is counted as well.
        let query = format!("b=1&c={}", "x".repeat(900));
        let define = |variables: &mut Definitions| {
            of(variables.define(9, "QUERYPARAM=\"b\"", &none, Some(&query)))
        };
        assert_eq!(
            (define(&mut variables), define(&mut variables)),
            (None, over)
        );
    }
}
