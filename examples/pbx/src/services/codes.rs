//! Star codes: an extension sets something for itself from its own telephone.

use super::script::{Act, Heard, Scene, Script};

/// What a code sets: `*72NUMBER` and the like.
struct Code {
    digits: &'static str,
    key: &'static str,
    /// To what; `None`: to the number that follows.
    value: Option<&'static str>,
}

const CODES: [Code; 12] = [
    Code { digits: "*78", key: "do_not_disturb", value: Some("on") },
    Code { digits: "*79", key: "do_not_disturb", value: Some("off") },
    Code { digits: "*72", key: "forward_always", value: None },
    Code { digits: "*73", key: "forward_always", value: Some("") },
    Code { digits: "*90", key: "forward_busy", value: None },
    Code { digits: "*91", key: "forward_busy", value: Some("") },
    Code { digits: "*92", key: "forward_no_answer", value: None },
    Code { digits: "*93", key: "forward_no_answer", value: Some("") },
    Code { digits: "*94", key: "forward_unreachable", value: None },
    Code { digits: "*95", key: "forward_unreachable", value: Some("") },
    Code { digits: "*55", key: "wake_up", value: None },
    Code { digits: "*56", key: "wake_up", value: Some("") },
];

/// Something to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What, by the name of the configuration file.
    pub key: &'static str,
    /// To what; empty switches it off.
    pub value: String,
}

/// What a dialled code sets; `None` when it is none.
pub fn setting(dialled: &str) -> Option<Setting> {
    let code = CODES.iter().find(|code| dialled.starts_with(code.digits))?;
    let rest = dialled.strip_prefix(code.digits)?;
    match (code.value, rest) {
        (Some(value), "") => Some(Setting { key: code.key, value: value.to_owned() }),
        (None, number) if !number.is_empty() => Some(Setting { key: code.key, value: number.to_owned() }),
        _ => None,
    }
}

/// Sets it, and says so.
#[derive(Debug)]
pub struct Confirm(pub Setting);

impl Script for Confirm {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered if !scene.is_extension => vec![scene.say(&["wrong"])],
            Heard::Answered => {
                let Setting { key, value } = self.0.clone();
                let word = if value.is_empty() || value == "off" { "cancelled" } else { "done" };
                let number = scene.caller.to_owned();
                vec![Act::Set { number, key, value: Some(value) }, scene.say(&[word])]
            }
            Heard::Played => vec![Act::HangUp],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_whole_or_carry_a_number() {
        let of = |dialled| setting(dialled).map(|setting| (setting.key, setting.value));
        assert_eq!(of("*78"), Some(("do_not_disturb", "on".into())));
        assert_eq!(of("*721002"), Some(("forward_always", "1002".into())));
        assert_eq!(of("*73"), Some(("forward_always", String::new())));
        assert_eq!((of("*72"), of("*781"), of("78")), (None, None, None));
    }
}
