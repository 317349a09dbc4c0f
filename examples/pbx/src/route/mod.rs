//! The dial plan: what a dialled number reaches.
//!
//! A service or an extension is reached by its whole number; what neither has goes out by the trunk whose prefix is the
//! longest that fits. A service number is a service only when it ends there, so that a carrier's prefix of the same digits
//! still works.

use std::collections::HashMap;

use crate::config::{Clock, Config, Group, Menu, Queue, Route, Rule, Strategy};
use crate::policy::directory::Directory;
use crate::services::{Service, Serving, codes};

/// Services and prefixes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    services: HashMap<String, Service>,
    groups: HashMap<String, Group>,
    menus: HashMap<String, Menu>,
    queues: HashMap<String, Queue>,
    /// Longest prefix first.
    routes: Vec<Route>,
    rules: Vec<Rule>,
}

/// What a number reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The exchange itself.
    Served(Serving),
    /// The telephones of an extension.
    Extension(String),
    /// The extensions of a group.
    Group(String),
    /// A neighbour.
    Trunk {
        /// Its name.
        trunk: String,
        /// The number it is asked for.
        number: String,
    },
    /// Nothing.
    Unknown,
}

/// How far somebody has come who dials digit by digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// More digits are needed.
    Incomplete,
    /// This is a number, and so may be what it becomes by more digits.
    MayGrow,
    /// This is a number, and no longer one begins so.
    Complete,
    /// Nothing begins so.
    Nothing,
}

impl Plan {
    /// The plan of a configuration.
    pub fn new(config: &Config) -> Self {
        let services =
            config.services.listed().map(|(service, number)| (number.to_owned(), service)).collect();
        let mut routes = config.routes.clone();
        routes.sort_by(|one, other| {
            other.prefix.len().cmp(&one.prefix.len()).then(one.prefix.cmp(&other.prefix))
        });
        let groups = config.groups.iter().map(|group| (group.number.clone(), group.clone())).collect();
        let menus = config.menus.iter().map(|menu| (menu.number.clone(), menu.clone())).collect();
        let queues = config.queues.iter().map(|queue| (queue.number.clone(), queue.clone())).collect();
        Self { services, groups, menus, queues, routes, rules: config.rules.clone() }
    }

    /// The number of a service, when it is switched on.
    pub fn number_of(&self, service: Service) -> Option<String> {
        self.services.iter().find(|(_, own)| **own == service).map(|(number, _)| number.clone())
    }

    /// Whether two extensions are in one group; `None` when the first is in none.
    pub fn share_group(&self, one: &str, other: &str) -> Option<bool> {
        let has = |group: &&Group, member: &str| group.members.iter().any(|own| own == member);
        let mut own = self.groups.values().filter(|group| has(group, one)).peekable();
        own.peek()?;
        Some(own.any(|group| has(&group, other)))
    }

    /// The group of a number.
    pub fn group(&self, number: &str) -> Option<&Group> {
        self.groups.get(number)
    }

    /// Codes that carry digits behind them: settings, slots, whose call is picked up.
    fn with_digits(&self, dialled: &str, directory: &Directory) -> Option<Serving> {
        let after = |wanted: Service| {
            let own = self.services.iter().find(|(_, service)| **service == wanted)?.0;
            dialled.strip_prefix(own.as_str()).map(str::to_owned)
        };
        if let Some(slot) = after(Service::Parking).filter(|slot| slot.len() == 2) {
            return Some(Serving::Unpark(slot));
        }
        if let Some(number) = after(Service::PickUp).filter(|number| directory.get(number).is_some()) {
            return Some(Serving::PickUp(Some(number)));
        }
        codes::setting(dialled).map(Serving::Code)
    }

    /// The menu of a number.
    pub fn menu(&self, number: &str) -> Option<&Menu> {
        self.menus.get(number)
    }

    /// The queue of a number.
    pub fn queue(&self, number: &str) -> Option<&Queue> {
        self.queues.get(number)
    }

    /// The digits before a trunk's own numbers that lead to it: its shortest prefix that is cut off.
    pub fn prefix_to(&self, trunk: &str) -> Option<&str> {
        let leads = |route: &&Route| route.trunk == trunk && route.strip == route.prefix.len();
        self.routes.iter().filter(leads).map(|route| route.prefix.as_str()).min_by_key(|prefix| prefix.len())
    }

    /// The whole number of a slot of which the last digits were dialled.
    pub fn slot_named(&self, digits: &str) -> String {
        let own = self.services.iter().find(|(_, service)| **service == Service::Parking);
        format!("{}{digits}", own.map_or("", |(number, _)| number.as_str()))
    }

    /// What `dialled` reaches at a time, by the rules of the time of day.
    pub fn find_at(&self, dialled: &str, directory: &Directory, clock: Clock, unix: u64) -> Destination {
        let rule = self.rules.iter().find(|rule| rule.number == dialled && rule.hours.contain(clock, unix));
        self.find(rule.map_or(dialled, |rule| &rule.to), directory)
    }

    /// The number of the next parking slot.
    pub fn slot(&self, taken: usize) -> String {
        let own = self.services.iter().find(|(_, service)| **service == Service::Parking);
        let number = own.map_or("", |(number, _)| number.as_str());
        format!("{number}{:02}", taken % 99 + 1)
    }

    /// Whether more digits may follow these. How long a neighbour's numbers are nobody knows.
    pub fn completion(&self, dialled: &str, directory: &Directory) -> Completion {
        let services = self.services.keys().chain(self.groups.keys()).chain(self.menus.keys());
        let numbers = services.chain(self.queues.keys()).chain(self.rules.iter().map(|rule| &rule.number));
        let extensions = directory.iter().map(|account| &account.number);
        let is_longer = |number: &str| number.len() > dialled.len() && number.starts_with(dialled);
        let is_led_out = |route: &Route| dialled.starts_with(&route.prefix) || is_longer(&route.prefix);
        let grows = numbers.chain(extensions).any(|number| is_longer(number))
            || self.routes.iter().any(is_led_out)
            // Star codes carry numbers behind them.
            || dialled.starts_with('*');
        let is_rule = self.rules.iter().any(|rule| rule.number == dialled);
        match (self.find(dialled, directory) != Destination::Unknown || is_rule, grows) {
            (true, true) => Completion::MayGrow,
            (true, false) => Completion::Complete,
            (false, true) => Completion::Incomplete,
            (false, false) => Completion::Nothing,
        }
    }

    /// What `dialled` reaches.
    pub fn find(&self, dialled: &str, directory: &Directory) -> Destination {
        if let Some(service) = self.services.get(dialled) {
            return Destination::Served(match service {
                Service::Parking => Serving::Park,
                Service::PickUp => Serving::PickUp(None),
                service => Serving::Service(*service),
            });
        }
        if let Some(serving) = self.with_digits(dialled, directory) {
            return Destination::Served(serving);
        }
        if directory.get(dialled).is_some() {
            return Destination::Extension(dialled.to_owned());
        }
        if self.menus.contains_key(dialled) {
            return Destination::Served(Serving::Menu(dialled.to_owned()));
        }
        if self.queues.contains_key(dialled) {
            return Destination::Served(Serving::Queue(dialled.to_owned()));
        }
        if let Some(group) = self.groups.get(dialled) {
            return match group.strategy {
                Strategy::Page => Destination::Served(Serving::Page(dialled.to_owned())),
                _ => Destination::Group(dialled.to_owned()),
            };
        }
        let route = self.routes.iter().find(|route| dialled.starts_with(&route.prefix));
        let outward = route.and_then(|route| Some((route, dialled.get(route.strip..)?)));
        match outward {
            Some((route, number)) if !number.is_empty() => {
                Destination::Trunk { trunk: route.trunk.clone(), number: number.to_owned() }
            }
            _ => Destination::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[extensions]]
        number = "1001"
        password = "a"
        [[extensions]]
        number = "91"
        password = "a"
        [[trunks]]
        name = "lab"
        address = "udp:192.0.2.1"
        [[trunks]]
        name = "far"
        address = "udp:192.0.2.2"
        [[routes]]
        prefix = "9"
        strip = 1
        trunk = "lab"
        [[routes]]
        prefix = "90"
        trunk = "far"
        [[routes]]
        prefix = "186"
        strip = 0
        trunk = "lab"
    "#;

    fn find(dialled: &str) -> Destination {
        let config = Config::parse(FILE).unwrap();
        let directory = Directory::new(&config, &[], None);
        Plan::new(&config).find(dialled, &directory)
    }

    fn trunk(trunk: &str, number: &str) -> Destination {
        Destination::Trunk { trunk: trunk.into(), number: number.into() }
    }

    #[test]
    fn whole_numbers_come_before_prefixes() {
        assert_eq!(find("1001"), Destination::Extension("1001".into()));
        assert_eq!(find("91"), Destination::Extension("91".into()));
        assert_eq!(find("100"), Destination::Served(Serving::Service(Service::Milliwatt)));
        assert_eq!(find("186"), Destination::Served(Serving::Service(Service::Echo)));
    }

    #[test]
    fn the_longest_prefix_wins_and_is_cut_off_as_told() {
        assert_eq!(find("9200"), trunk("lab", "200"));
        assert_eq!(find("90200"), trunk("far", "200"));
        assert_eq!(find("1860312345678"), trunk("lab", "1860312345678"));
    }

    #[test]
    fn digits_are_waited_for_as_long_as_a_longer_number_may_come() {
        let config = Config::parse(FILE).unwrap();
        let (plan, directory) = (Plan::new(&config), Directory::new(&config, &[], None));
        for (dialled, expected) in [
            ("1", Completion::Incomplete),
            ("100", Completion::MayGrow),
            ("1001", Completion::Complete),
            ("117", Completion::Complete),
            ("186", Completion::MayGrow),
            ("1860", Completion::MayGrow),
            ("9", Completion::Incomplete),
            ("90", Completion::Incomplete),
            ("91", Completion::MayGrow),
            ("92", Completion::MayGrow),
            ("4", Completion::Nothing),
            ("", Completion::Incomplete),
        ] {
            assert_eq!(plan.completion(dialled, &directory), expected, "{dialled}");
        }
    }

    #[test]
    fn a_trunk_is_led_to_by_the_prefix_that_is_cut_off() {
        let plan = Plan::new(&Config::parse(FILE).unwrap());
        assert_eq!(
            (plan.prefix_to("lab"), plan.prefix_to("far"), plan.prefix_to("x")),
            (Some("9"), Some("90"), None)
        );
    }

    #[test]
    fn a_prefix_alone_and_a_number_of_nobody_reach_nothing() {
        for nobody in ["9", "90", "1002", "10011", "", "é9"] {
            assert_eq!(find(nobody), Destination::Unknown, "{nobody}");
        }
    }
}
