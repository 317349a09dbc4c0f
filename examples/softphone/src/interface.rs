//! From the command line and the file to the screen.

use crate::arguments::{Arguments, SoundChoice};
use crate::config::{Config, SoundConfig};
use crate::desk::DeskAccount;
use crate::sound::{Humming, Nothing, Sound};
use crate::terminal::{self, Opening};
use crate::ui::Language;
use crate::ways::Ways;
use crate::{identity, wizard};
use denwa_sip_core::Protocol;

/// Everything that has to be right, or asked for, before the screen is opened.
///
/// # Errors
/// One sentence.
pub fn prepare(arguments: &Arguments) -> Result<(), String> {
    terminal::require()?;
    let config = identity::load(arguments.config.as_deref())?;
    if config.accounts.is_empty() && arguments.config.is_none() {
        wizard::run(arguments)?;
    }
    Ways::of(&config.accounts).map(drop)
}

/// Opens the screen.
///
/// # Errors
/// One sentence.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = identity::load(arguments.config.as_deref())?;
    let language = language(arguments, &config);
    let ways = Ways::of(&config.accounts)?;
    let mut accounts = Vec::new();
    for account in &config.accounts {
        let mut own = identity::agent_account(account)?;
        own.capability = Some(ways.capability(account));
        accounts.push((DeskAccount { account: own, registers: account.register }, account.address()));
    }
    if accounts.is_empty() {
        let nobody = identity::account(&crate::arguments::AccountArguments::default(), &config)?;
        let address = nobody.address();
        accounts
            .push((DeskAccount { account: identity::agent_account(&nobody)?, registers: false }, address));
    }
    let direct = accounts.iter().all(|(desk, _)| !desk.registers);
    let servers: Vec<_> = accounts.iter().flat_map(|(desk, _)| identity::servers(&desk.account)).collect();
    let first = config.accounts.first();
    let capability = first.map(|account| ways.capability(account));
    let keys = first.map(|account| identity::keys(account.keys)).unwrap_or_default();
    let transports: Vec<Protocol> = config.accounts.iter().map(|account| account.transport).collect();
    let choice = arguments.sound;
    let devices = config.sound.clone();
    terminal::open(Opening {
        language,
        accounts,
        listen: identity::listen(&arguments.listen, &servers),
        transports,
        tls: identity::tls(&config.tls)?,
        configure: Box::new(move |agent| {
            // For calls that are for no account: directly to this host, by whatever name.
            if let Some(capability) = capability {
                agent.capability = capability;
            }
            ways.give(agent);
            agent.sample_rate_hz = crate::sound::SAMPLE_RATE_HZ;
            agent.keys = keys;
        }),
        sound: Box::new(move || sound(choice, &devices)),
        history: identity::history_file(),
        accounts_are_direct: direct,
    })
}

/// The language: as the command line says, the file, or the system.
pub(crate) fn language(arguments: &Arguments, config: &Config) -> Language {
    let of_system = || {
        let named = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
        Language::of_locale(&named.into_iter().find(|text| !text.is_empty()).unwrap_or_default())
    };
    arguments.language.or(config.language).unwrap_or_else(of_system)
}

fn sound(choice: SoundChoice, devices: &SoundConfig) -> Box<dyn Sound> {
    match choice {
        SoundChoice::Tone => Box::new(Humming::default()),
        SoundChoice::None => Box::new(Nothing),
        SoundChoice::Devices => of_system(devices),
    }
}

#[cfg(feature = "sound")]
fn of_system(devices: &SoundConfig) -> Box<dyn Sound> {
    Box::new(crate::sound::devices::Devices::open(devices))
}

#[cfg(not(feature = "sound"))]
fn of_system(_: &SoundConfig) -> Box<dyn Sound> {
    Box::new(crate::sound::Unbuilt::default())
}
