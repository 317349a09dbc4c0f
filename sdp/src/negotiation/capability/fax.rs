//! What one side can do of fax over UDP (T.38 Annex D, RFC 3362).

use crate::attribute::fax::Fax;

/// What a T.38 end can do (ITU-T T.38 Annex D).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaxCapability {
    /// The version, 0–4.
    pub version: u32,
    /// The fastest modem, bits a second.
    pub max_bit_rate: u32,
    /// Whether fill bits may be left out.
    pub fill_bit_removal: bool,
    /// Bytes it can hold.
    pub max_buffer: Option<u32>,
    /// Bytes of the largest datagram it takes.
    pub max_datagram: u32,
    /// The error corrections it can do, the most liked first.
    pub error_corrections: Vec<FaxErrorCorrection>,
}

/// How lost fax packets are made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaxErrorCorrection {
    /// Each packet repeats earlier ones.
    Redundancy,
    /// Packets of parity.
    Fec,
    /// Not at all.
    None,
}

impl FaxErrorCorrection {
    /// The word in `T38FaxUdpEC`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redundancy => "t38UDPRedundancy",
            Self::Fec => "t38UDPFEC",
            Self::None => "t38UDPNoEC",
        }
    }

    /// The correction that word means; case is not minded.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Redundancy, Self::Fec, Self::None]
            .into_iter()
            .find(|correction| correction.as_str().eq_ignore_ascii_case(text))
    }
}

impl Default for FaxCapability {
    /// What fax gateways have in common: version 0, 14400 bit/s, 400-byte datagrams, redundancy.
    fn default() -> Self {
        Self {
            version: 0,
            max_bit_rate: 14_400,
            fill_bit_removal: false,
            max_buffer: None,
            max_datagram: 400,
            error_corrections: vec![FaxErrorCorrection::Redundancy, FaxErrorCorrection::None],
        }
    }
}

impl FaxCapability {
    /// The attributes an offer has.
    pub(crate) fn attributes(&self) -> Vec<Fax<'static>> {
        let mut all = vec![
            Fax::Version(self.version),
            Fax::MaxBitRate(self.max_bit_rate),
            Fax::RateManagement("transferredTCF"),
            Fax::MaxDatagram(self.max_datagram),
        ];
        if self.fill_bit_removal {
            all.push(Fax::FillBitRemoval(true));
        }
        all.extend(self.max_buffer.map(Fax::MaxBuffer));
        let first = self.error_corrections.first().copied().unwrap_or(FaxErrorCorrection::None);
        all.push(Fax::ErrorCorrection(first.as_str()));
        all
    }
}
