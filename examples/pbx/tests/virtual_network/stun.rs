//! A STUN server of a few lines (RFC 8489), on the virtual network.

use std::collections::VecDeque;
use std::time::Instant;

use denwa_ice::stun::attribute::XorMappedAddress;
use denwa_ice::stun::{Class, Message, Writer};
use denwa_sim::{Input, Machine, Output, Transmit};

#[derive(Default)]
pub(crate) struct StunServer {
    outputs: VecDeque<Output>,
    pub(crate) asked: usize,
}

impl Machine for StunServer {
    fn handle_input(&mut self, input: Input<'_>, _: Instant) {
        let Input::Datagram { local, remote, payload } = input else { return };
        let Ok(request) = Message::parse(payload) else { return };
        self.asked += 1;
        let mut buffer = [0; 128];
        let mut writer = Writer::new(&mut buffer, Class::Success, request.method(), request.id());
        writer.put(&XorMappedAddress(remote));
        let length = writer.finish().unwrap();
        let datagram = Transmit::datagram(Some(local), remote, buffer[..length].to_vec());
        self.outputs.push_back(Output::Transmit(datagram));
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
