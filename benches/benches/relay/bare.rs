//! The floor: loops that receive and send and look at nothing.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    net::{MMsgHdr, SendAncillaryBuffer, SendFlags, addr::SocketAddrArg, sendmmsg},
};

use super::load::{Cost, G711, Phones, Relay, Stop, thread_time};

const NAME: &str = "bare";
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn measure(phones: &Phones, legs: Vec<SocketAddr>, run: impl FnOnce(Stop) + Send + 'static) -> Cost {
    let stop = Stop::default();
    let told = Arc::clone(&stop);
    let thread = thread::Builder::new().name(NAME.into()).spawn(move || run(told)).unwrap();
    let used = || thread_time(NAME);
    let cost = phones.talk(&Relay {
        legs,
        used: &used,
        keying: None,
        payload_types: [0, 0],
        ticks: [160; 2],
        payloads: [G711; 2],
    });
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    cost
}

/// Each leg its socket, as the media driver has it: wait, receive one, send it by the other leg's socket.
pub(crate) fn per_leg(phones: &Phones) -> Cost {
    let sockets: Vec<_> = (0..phones.calls * 2).map(|_| socket()).collect();
    let legs = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let phone = phones.address();
    measure(phones, legs, move |stop| {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        for (number, socket) in sockets.iter().enumerate() {
            epoll::add(&epoll, socket, EventData::new_u64(number as u64), EventFlags::IN).unwrap();
        }
        let mut buffer = [0; 2048];
        while !stop.load(Ordering::Relaxed) {
            let mut space = [const { MaybeUninit::uninit() }; 256];
            let (events, _) = epoll::wait(&epoll, &mut space[..], Some(&PATIENCE)).unwrap();
            for event in events {
                let leg = event.data.u64() as usize;
                if let Ok((length, _)) = sockets[leg].recv_from(&mut buffer) {
                    let _ = sockets[leg ^ 1].send_to(&buffer[..length], phone);
                }
            }
        }
    })
}

/// One socket for every leg: receive one, send it.
pub(crate) fn shared(phones: &Phones) -> Cost {
    let socket = socket();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20);
    let (address, phone) = (socket.local_addr().unwrap(), phones.address());
    measure(phones, vec![address; phones.calls * 2], move |stop| {
        let mut buffer = [0; 2048];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((length, _)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], phone);
            }
        }
    })
}

/// One socket for every leg: receive as many as wait, send them at once.
pub(crate) fn batched(phones: &Phones) -> Cost {
    let socket = socket();
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20);
    let (address, phone) = (socket.local_addr().unwrap(), phones.address());
    measure(phones, vec![address; phones.calls * 2], move |stop| {
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).unwrap();
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        epoll::add(&epoll, &socket, EventData::new_u64(0), EventFlags::IN).unwrap();
        let mut storage = vec![0u8; quinn_udp::BATCH_SIZE * 2048];
        let mut metas = [RecvMeta::default(); quinn_udp::BATCH_SIZE];
        let to = phone.as_any();
        while !stop.load(Ordering::Relaxed) {
            let mut space = [const { MaybeUninit::uninit() }; 8];
            let (events, _) = epoll::wait(&epoll, &mut space[..], Some(&PATIENCE)).unwrap();
            if events.is_empty() {
                continue;
            }
            let mut slices: Vec<_> = storage.chunks_mut(2048).map(IoSliceMut::new).collect();
            let Ok(count) = state.recv(UdpSockRef::from(&socket), &mut slices, &mut metas) else { continue };
            drop(slices);
            let slices: Vec<_> = storage
                .chunks(2048)
                .zip(&metas[..count])
                .map(|(bytes, meta)| [IoSlice::new(&bytes[..meta.len])])
                .collect();
            let mut controls: Vec<_> = (0..count).map(|_| SendAncillaryBuffer::default()).collect();
            let mut messages: Vec<_> = slices
                .iter()
                .zip(&mut controls)
                .map(|(slice, control)| MMsgHdr::new_with_addr(&to, slice, control))
                .collect();
            let _ = sendmmsg(&socket, &mut messages, SendFlags::empty());
        }
    })
}
