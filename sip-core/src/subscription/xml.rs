//! As much XML as the bodies of event packages need: elements, attributes, text, the five predefined entities and
//! numeric ones. Names are compared without their prefix.
//!
//! Left out on purpose: document types and entities of one's own (refused: they blow up), processing instructions and
//! comments (skipped). Depth and number of elements are bounded, and nothing recurses.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{borrow::Cow, fmt};

/// An element with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name without prefix.
    pub name: String,
    /// Its attributes, names without prefix.
    pub attributes: Vec<(String, String)>,
    /// The elements in it.
    pub children: Vec<Self>,
    /// Its own text, without that of the elements in it.
    pub text: String,
}

/// Why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XmlError {
    /// Where, in bytes.
    pub offset: usize,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} expected at byte {}", self.expected, self.offset)
    }
}

impl std::error::Error for XmlError {}

/// Elements may be this deep.
const DEPTH: usize = 16;
/// And this many in one document.
const ELEMENTS: usize = 4096;

impl Element {
    /// Reads a document: its root element.
    ///
    /// # Errors
    /// Where it is no XML, or more of it than is taken.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        Reader { text, at: 0 }.document()
    }

    /// The first element in it of a name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The elements in it of a name.
    pub fn children_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// An attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The text of the first element of a name in it, trimmed.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Element, XmlError> {
        let mut open: Vec<Element> = Vec::new();
        let mut count = 0_usize;
        loop {
            let text = self.until('<');
            match open.last_mut() {
                Some(element) => element.text.push_str(&unescape(text)),
                None if text.trim().trim_start_matches('\u{feff}').is_empty() => {}
                None => return Err(self.error("an element")),
            }
            if self.rest().is_empty() {
                return Err(self.error("the end of an element"));
            }
            if self.skip("<?", "?>")? || self.skip("<!--", "-->")? {
                continue;
            }
            if let Some(text) = self.character_data()? {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(text);
                }
                continue;
            }
            let closed = if self.eat("</") {
                let name = self.name()?;
                self.space();
                self.expect(">", "`>`")?;
                let element = open.pop().filter(|element| element.name == name);
                Some(element.ok_or_else(|| self.error("the matching end tag"))?)
            } else {
                self.expect("<", "an element")?;
                count = count.saturating_add(1);
                if open.len() >= DEPTH || count > ELEMENTS {
                    return Err(self.error("fewer elements"));
                }
                let element = self.start()?;
                if self.eat("/>") {
                    Some(element)
                } else {
                    self.expect(">", "`>`")?;
                    open.push(element);
                    None
                }
            };
            let Some(element) = closed else { continue };
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None => return self.finish(element),
            }
        }
    }

    /// Behind the root only white space, comments and instructions may follow.
    fn finish(mut self, root: Element) -> Result<Element, XmlError> {
        loop {
            if !self.until('<').trim().is_empty() {
                return Err(self.error("the end"));
            }
            if self.rest().is_empty() {
                return Ok(root);
            }
            if !self.skip("<?", "?>")? && !self.skip("<!--", "-->")? {
                return Err(self.error("the end"));
            }
        }
    }

    fn start(&mut self) -> Result<Element, XmlError> {
        let mut element = Element { name: self.name()?.to_owned(), ..Element::default() };
        loop {
            self.space();
            if self.rest().starts_with(['>', '/']) {
                return Ok(element);
            }
            let name = self.name()?.to_owned();
            self.space();
            self.expect("=", "`=`")?;
            self.space();
            let quote = if self.eat("\"") {
                '"'
            } else {
                self.expect("'", "a quote")?;
                '\''
            };
            let value = unescape(self.until(quote)).into_owned();
            self.expect(if quote == '"' { "\"" } else { "'" }, "the closing quote")?;
            element.attributes.push((name, value));
        }
    }

    /// A name, its prefix left out.
    fn name(&mut self) -> Result<&'a str, XmlError> {
        let rest = self.rest();
        let end = rest
            .find(|it: char| !(it.is_alphanumeric() || matches!(it, ':' | '_' | '-' | '.')))
            .unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if name.is_empty() {
            return Err(self.error("a name"));
        }
        self.at = self.at.saturating_add(end);
        Ok(name.rsplit(':').next().unwrap_or(name))
    }

    fn character_data(&mut self) -> Result<Option<&'a str>, XmlError> {
        if !self.eat("<![CDATA[") {
            if self.rest().starts_with("<!") {
                return Err(self.error("no document type"));
            }
            return Ok(None);
        }
        let rest = self.rest();
        let end = rest.find("]]>").ok_or_else(|| self.error("`]]>`"))?;
        self.at = self.at.saturating_add(end).saturating_add(3);
        Ok(rest.get(..end))
    }

    /// Skips from one mark to another, if the first is here.
    fn skip(&mut self, from: &'static str, to: &'static str) -> Result<bool, XmlError> {
        if !self.rest().starts_with(from) {
            return Ok(false);
        }
        let end = self.rest().find(to).ok_or_else(|| self.error(to))?;
        self.at = self.at.saturating_add(end).saturating_add(to.len());
        Ok(true)
    }

    fn until(&mut self, mark: char) -> &'a str {
        let rest = self.rest();
        let end = rest.find(mark).unwrap_or(rest.len());
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at = self.at.saturating_add(rest.len().saturating_sub(rest.trim_start().len()));
    }

    fn eat(&mut self, text: &str) -> bool {
        let here = self.rest().starts_with(text);
        if here {
            self.at = self.at.saturating_add(text.len());
        }
        here
    }

    fn expect(&mut self, text: &str, what: &'static str) -> Result<(), XmlError> {
        if self.eat(text) { Ok(()) } else { Err(self.error(what)) }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    const fn error(&self, expected: &'static str) -> XmlError {
        XmlError { offset: self.at, expected }
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, behind) = after.split_once(';').unwrap_or((after, ""));
        let character = match entity {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            other => match (other.strip_prefix("#x"), other.strip_prefix('#')) {
                (Some(hex), _) => u32::from_str_radix(hex, 16).ok().and_then(char::from_u32),
                (None, Some(decimal)) => decimal.parse().ok().and_then(char::from_u32),
                (None, None) => None,
            },
        };
        out.push(character.unwrap_or('\u{fffd}'));
        rest = behind;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Text as it may stand in an element or attribute: escaped, and without characters XML 1.0 forbids.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(character))?,
                it if it.is_control() => {}
                it => write!(f, "{it}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_document_is_read() {
        let text = "<?xml version=\"1.0\"?>\r\n<!-- x --><p:root xmlns:p='urn:x' a = \"1 &lt; 2\"><b>t&#65;&#x42;</b><c/>
            <![CDATA[<raw>]]></p:root>\n";
        let root = Element::parse(text).unwrap();
        assert_eq!((root.name.as_str(), root.attribute("a")), ("root", Some("1 < 2")));
        assert_eq!(root.text_of("b"), Some("tAB"));
        assert!(root.child("c").is_some());
        assert_eq!(root.text.trim(), "<raw>");
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a",
            "<a b>",
            "<a b=>",
            "<a b='c>",
            "<a/><b/>",
            "<a/>x",
            "<!-- ",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a/>",
            "<a><![CDATA[</a>",
        ] {
            assert!(Element::parse(text).is_err(), "{text}");
        }
        assert!(Element::parse(&"<a>".repeat(17)).is_err());
        assert!(Element::parse(&format!("<a>{}</a>", "<b/>".repeat(5000))).is_err());
    }

    proptest! {
        #[test]
        fn anything_may_come(text in "[<>/a='\"&;!\\[\\]#x -]{0,80}") {
            let _ = Element::parse(&text);
        }

        #[test]
        fn what_is_escaped_is_read_back(text in "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]{0,40}") {
            let written = format!("<a b=\"{}\">{}</a>", Escaped(&text), Escaped(&text));
            let root = Element::parse(&written).unwrap();
            prop_assert_eq!(root.attribute("b"), Some(text.as_str()));
            prop_assert_eq!(root.text, text);
        }
    }
}
