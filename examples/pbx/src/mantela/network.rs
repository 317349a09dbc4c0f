//! The network as its exchanges describe it, and the cheapest way to dial a telephone: fewest hops, then the shortest dialling.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What is known of a network: each exchange by its identifier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    exchanges: BTreeMap<String, Exchange>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Exchange {
    name: String,
    /// Number and name.
    extensions: Vec<(String, String)>,
    /// Prefix, identifier of the neighbour.
    providers: Vec<(String, String)>,
    /// Where its neighbours' own documents are.
    documents: Vec<String>,
}

/// How a telephone is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// The exchanges on the way by name, the own first.
    pub by: Vec<String>,
    /// What is dialled.
    pub digits: String,
    /// How long a rotary dial takes for that.
    pub pulse_seconds: f64,
}

impl Network {
    /// Adds an exchange's document; tells its identifier, or what is wrong with it when it has none.
    ///
    /// # Errors
    /// When the document names no exchange.
    pub fn add(&mut self, document: &Value) -> Result<String, String> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let about = document.get("aboutMe").ok_or("it has no aboutMe")?;
        let identifier = text(about, "identifier").ok_or("its aboutMe has no identifier")?;
        let list = |key: &str| document.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let is_there = |value: &Value| value.get("unavailable").and_then(Value::as_bool) != Some(true);
        let extensions = list("extensions")
            .iter()
            .filter(|one| is_there(one))
            .filter_map(|one| Some((text(one, "extension")?, text(one, "name").unwrap_or_default())))
            .collect();
        let providers = list("providers")
            .iter()
            .filter(|one| is_there(one))
            .filter_map(|one| Some((text(one, "prefix")?, text(one, "identifier")?)))
            .collect();
        let documents = list("providers")
            .iter()
            .filter(|one| is_there(one))
            .filter_map(|one| text(one, "mantela"))
            .filter(|url| url.starts_with("http://") || url.starts_with("https://"))
            .collect();
        let name = text(about, "name").unwrap_or_else(|| identifier.clone());
        self.exchanges.insert(identifier.clone(), Exchange { name, extensions, providers, documents });
        Ok(identifier)
    }

    /// Where an exchange's neighbours publish themselves, by what it says of them.
    pub fn documents_of(&self, identifier: &str) -> &[String] {
        self.exchanges.get(identifier).map_or(&[], |exchange| exchange.documents.as_slice())
    }

    /// The network as a drawing in Graphviz' language: who leads to whom, and by which prefix. Exchanges that published
    /// nothing are dashed.
    pub fn drawing(&self) -> String {
        let quoted = |text: &str| {
            let plain: String = text.chars().filter(|letter| !letter.is_control()).collect();
            format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
        };
        let mut lines = vec!["digraph network {".to_owned()];
        for (identifier, exchange) in &self.exchanges {
            let name = quoted(&exchange.name);
            let name = name.trim_matches('"');
            let count = exchange.extensions.len();
            lines.push(format!("    {} [label=\"{name}\\n{count} telephones\"]", quoted(identifier)));
        }
        let known: BTreeSet<&String> = self.exchanges.keys().collect();
        let met = self.exchanges.values().flat_map(|exchange| exchange.providers.iter().map(|(_, to)| to));
        let silent: BTreeSet<&String> = met.filter(|to| !known.contains(to)).collect();
        lines.extend(silent.iter().map(|identifier| format!("    {} [style=dashed]", quoted(identifier))));
        for (identifier, exchange) in &self.exchanges {
            for (prefix, to) in &exchange.providers {
                lines.push(format!(
                    "    {} -> {} [label={}]",
                    quoted(identifier),
                    quoted(to),
                    quoted(prefix)
                ));
            }
        }
        lines.push("}\n".to_owned());
        lines.join("\n")
    }

    /// How every telephone that is known is reached from an exchange, the nearest first.
    pub fn phone_book(&self, from: &str) -> Vec<(String, Reach)> {
        let mut book = Vec::new();
        for (identifier, (by, prefix)) in self.ways(from) {
            let Some(exchange) = self.exchanges.get(&identifier) else { continue };
            for (number, name) in &exchange.extensions {
                let digits = format!("{prefix}{number}");
                let pulse_seconds = pulse_seconds(&digits);
                book.push((name.clone(), Reach { by: by.clone(), digits, pulse_seconds }));
            }
        }
        book.sort_by(|(_, one), (_, other)| {
            one.by.len().cmp(&other.by.len()).then(one.digits.cmp(&other.digits))
        });
        book
    }

    /// The cheapest way to an extension of an exchange; `None` when none is known.
    pub fn route(&self, from: &str, to: &str, extension: &str) -> Option<Reach> {
        let (by, prefix) = self.ways(from).remove(to)?;
        let digits = format!("{prefix}{extension}");
        let pulse_seconds = pulse_seconds(&digits);
        Some(Reach { by, digits, pulse_seconds })
    }

    /// The cheapest way to each exchange: by whom, and the digits before its own numbers.
    fn ways(&self, from: &str) -> BTreeMap<String, (Vec<String>, String)> {
        let name = |identifier: &str| {
            self.exchanges
                .get(identifier)
                .map_or_else(|| identifier.to_owned(), |exchange| exchange.name.clone())
        };
        let mut known = BTreeMap::new();
        // Hops, tenths of a second of dialling, digits, who, by whom.
        let mut open = BTreeSet::from([(0_usize, 0_u64, String::new(), from.to_owned(), vec![name(from)])]);
        while let Some((hops, _, digits, identifier, by)) = open.pop_first() {
            if known.contains_key(&identifier) {
                continue;
            }
            known.insert(identifier.clone(), (by.clone(), digits.clone()));
            let providers = self.exchanges.get(&identifier).map(|exchange| exchange.providers.as_slice());
            for (prefix, next) in providers.unwrap_or_default() {
                let digits = format!("{digits}{prefix}");
                let mut by = by.clone();
                by.push(name(next));
                open.insert((hops + 1, pulse_tenths(&digits), digits, next.clone(), by));
            }
        }
        known
    }
}

/// How long a rotary dial of ten pulses a second takes: 0.6 s before each digit, 0.1 s for each of its pulses, 0 having ten.
pub fn pulse_seconds(digits: &str) -> f64 {
    pulse_tenths(digits) as f64 / 10.0
}

fn pulse_tenths(digits: &str) -> u64 {
    let of = |digit: char| match digit.to_digit(10) {
        Some(0) | None => 16,
        Some(pulses) => 6 + u64::from(pulses),
    };
    digits.chars().map(of).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange(identifier: &str, providers: &[(&str, &str)]) -> Value {
        let providers: Vec<Value> = providers
            .iter()
            .map(|(prefix, identifier)| json!({ "prefix": prefix, "identifier": identifier }))
            .collect();
        json!({
            "aboutMe": { "identifier": identifier, "name": identifier.to_uppercase() },
            "extensions": [{ "extension": "200", "name": "Kitchen" }],
            "providers": providers,
        })
    }

    #[test]
    fn the_way_with_the_fewest_hops_wins_then_the_one_that_is_dialled_sooner() {
        let mut network = Network::default();
        for document in [
            exchange("p", &[("0510", "q"), ("0999", "s"), ("0311", "t")]),
            exchange("q", &[("0390", "r")]),
            exchange("s", &[("0390", "r")]),
            exchange("t", &[("0111", "r"), ("02", "u")]),
            json!({ "aboutMe": { "name": "without an identifier" } }),
            json!("broken"),
        ] {
            let _ = network.add(&document);
        }
        let reach = network.route("p", "r", "200").unwrap();
        assert_eq!((reach.digits.as_str(), reach.by.join(" ")), ("03110111200", "P T r".to_owned()));
        // Nobody published u, and it is reached all the same.
        assert_eq!(network.route("p", "u", "7").unwrap().digits, "0311027");
        assert_eq!(network.route("p", "x", "7"), None);
        let book = network.phone_book("p");
        assert_eq!(book[0].1.digits, "200");
        assert!(book.iter().any(|(_, reach)| reach.digits == "0510200"));
    }

    #[test]
    fn the_drawing_has_every_exchange_and_every_link() {
        let mut network = Network::default();
        network.add(&exchange("p", &[("0510", "q"), ("1", "dead \"one\"")])).unwrap();
        network.add(&exchange("q", &[("0390", "p")])).unwrap();
        let drawing = network.drawing();
        for line in [
            "    \"p\" [label=\"P\\n1 telephones\"]",
            "    \"dead \\\"one\\\"\" [style=dashed]",
            "    \"p\" -> \"q\" [label=\"0510\"]",
            "    \"q\" -> \"p\" [label=\"0390\"]",
        ] {
            assert!(drawing.lines().any(|own| own == line), "{line} in {drawing}");
        }
    }

    #[test]
    fn a_rotary_dial_takes_its_time() {
        assert!((pulse_seconds("10") - 2.3).abs() < 1e-9);
    }

    #[test]
    fn the_example_of_the_schema_is_read() {
        let path = std::env::var("DENWA_SHARED").unwrap_or_else(|_| "../../../shared".to_owned());
        let Ok(text) = std::fs::read_to_string(format!("{path}/data/mantela/example.json")) else {
            eprintln!("the example is not here: passed over");
            return;
        };
        let mut network = Network::default();
        let own = network.add(&serde_json::from_str(&text).unwrap()).unwrap();
        // What is marked as not available is neither in the book nor on a way.
        let book = network.phone_book(&own);
        assert!(book.iter().any(|(name, reach)| name == "membo" && reach.digits == "1058"));
        assert!(!book.iter().any(|(name, _)| name == "hamu"));
        assert_eq!(
            network.route(&own, "a81027d08378c8af4e63618b625ae05620a460b8", "1").unwrap().digits,
            "3211"
        );
    }
}
