//! This exchange's own document.

use serde_json::{Value, json};

use crate::config::Config;
use crate::policy::directory::Directory;

/// The document of an exchange: its extensions but those that opted out, its services, its neighbours.
pub fn document(config: &Config, directory: &Directory) -> Value {
    let own = &config.mantela;
    let mut extensions: Vec<Value> = Vec::new();
    for account in directory.iter().filter(|account| account.published) {
        let name = if account.name.is_empty() { &account.number } else { &account.name };
        extensions.push(json!({ "name": name, "extension": account.number, "type": "phone" }));
    }
    for group in &config.groups {
        extensions.push(json!({
            "name": group.number, "extension": group.number, "type": "main", "transferTo": group.members,
        }));
    }
    for (service, number) in
        config.services.listed().filter(|(_, number)| number.bytes().all(|digit| digit.is_ascii_digit()))
    {
        let kind = match service.name() {
            "conference" => "conference",
            "music" => "music",
            "clock" | "greeting" => "information",
            _ => "application",
        };
        extensions.push(json!({ "name": service.name(), "extension": number, "type": kind }));
    }
    let plan = crate::route::Plan::new(config);
    let mut providers: Vec<Value> = Vec::new();
    for trunk in &config.trunks {
        // A neighbour without a prefix that leads to it cannot be dialled; one without a document says nothing of itself.
        let Some(prefix) = plan.prefix_to(&trunk.name) else { continue };
        providers.push(json!({
            "name": trunk.name,
            "prefix": prefix,
            "identifier": trunk.identifier.as_deref().unwrap_or(&trunk.name),
            "mantela": trunk.mantela.as_deref().unwrap_or_default(),
        }));
    }
    let mut about = json!({
        "name": if own.name.is_empty() { &config.sip.realm } else { &own.name },
        "identifier": if own.identifier.is_empty() { &config.sip.realm } else { &own.identifier },
        "preferredPrefix": own.prefix,
    });
    if !own.sip_uri.is_empty()
        && let Some(about) = about.as_object_mut()
    {
        about.insert("sipUri".to_owned(), json!([own.sip_uri]));
    }
    json!({
        "$schema": "https://tkytel.github.io/mantela/0.1.x/mantela.schema.json",
        "version": "0.1.0",
        "aboutMe": about,
        "extensions": extensions,
        "providers": providers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [mantela]
        name = "Hill"
        identifier = "hill"
        prefix = "0390"
        [[extensions]]
        number = "200"
        name = "Kitchen"
        password = "s3cret"
        [[extensions]]
        number = "201"
        password = "s3cret"
        publish = false
        [[trunks]]
        name = "valley"
        address = "udp:192.0.2.7"
        user = "hill"
        password = "s3cret"
        mantela = "http://valley.example/.well-known/mantela.json"
        [[routes]]
        prefix = "0510"
        trunk = "valley"
    "#;

    #[test]
    fn what_is_published_is_what_the_schema_asks_for_and_no_secret() {
        let config = Config::parse(FILE).unwrap();
        let document = document(&config, &Directory::new(&config, &[], None));
        for key in ["version", "aboutMe", "extensions", "providers"] {
            assert!(document.get(key).is_some(), "{key}");
        }
        assert_eq!(document["aboutMe"]["preferredPrefix"], "0390");
        let numbers: Vec<&str> = document["extensions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["extension"].as_str().unwrap())
            .collect();
        assert!(
            numbers.contains(&"200") && numbers.contains(&"117") && !numbers.contains(&"201"),
            "{numbers:?}"
        );
        assert_eq!(document["providers"][0]["prefix"], "0510");
        assert!(!document.to_string().contains("s3cret"));
    }
}
