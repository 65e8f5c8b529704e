//! The console of `draftsman up`.

use std::io::ErrorKind;
use std::net::SocketAddr;

use console::{Config, Hosts, Server, StartError};

use crate::args::{Common, DEFAULT_CONSOLE};
use crate::client;
use crate::up::UpError;

/// Where the console of `up` listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsoleListen {
    /// No console.
    Off,
    /// This address.
    At(SocketAddr),
    /// The default address, or a free port if that is in use.
    Default,
}

impl ConsoleListen {
    /// Reads `--console-listen`.
    ///
    /// # Errors
    /// [`UpError::ConsoleAddress`].
    pub(crate) fn parse(given: Option<&str>) -> Result<Self, UpError> {
        match given {
            None => Ok(Self::Default),
            Some("off") => Ok(Self::Off),
            Some(given) => given
                .parse()
                .map(Self::At)
                .map_err(|_| UpError::ConsoleAddress {
                    given: given.to_owned(),
                }),
        }
    }

    /// Binds the console of the intake at `url`, which runs on this machine. `None` if it is off.
    ///
    /// # Errors
    /// [`UpError::Console`], [`UpError::ConsoleTls`].
    pub(crate) async fn bind(self, common: &Common, url: &str) -> Result<Option<Server>, UpError> {
        let options = Common {
            addr: url.to_owned(),
            ..common.clone()
        };
        let intake = client::lazy_endpoint(&options)
            .map_err(|error| UpError::ConsoleTls(error.to_string()))?;
        let config = |listen| Config {
            listen,
            intake: intake.clone(),
            hosts: Hosts::default(),
            actor: client::user_actor(),
        };
        let (mut wanted, can_move) = match self {
            Self::Off => return Ok(None),
            Self::At(address) => (address, false),
            Self::Default => (
                DEFAULT_CONSOLE.parse().expect("the default is an address"),
                true,
            ),
        };
        match console::bind(config(wanted)).await {
            Err(StartError::Bind { source, .. })
                if can_move && source.kind() == ErrorKind::AddrInUse =>
            {
                wanted.set_port(0);
                Ok(Some(console::bind(config(wanted)).await?))
            }
            bound => Ok(Some(bound?)),
        }
    }
}
