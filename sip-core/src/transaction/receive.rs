//! From bytes to transactions: what came in is read, stamped, matched, and answered or passed on (RFC 3261 §17.1.3,
//! §17.2.3, §18.1.2, §18.2.1).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{hash::Hasher, net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{
    RejectRule, ServerId, TransactionEvent, Transactions,
    event::DeadlineKey,
    key::{KeyBase, ServerKey, read_branch},
};
use crate::{
    error::{Attitude, ParseError, Problem},
    header::{HeaderName, HeaderValue, Via},
    id::Id,
    io::{Flow, Protocol, StreamId},
    message::{Message, Method, Request, Response, Salvaged, Scanned, StatusCode, salvage},
    transport::{
        ReplyPath,
        framer::Frame,
        response_route::{reply_path, stamp},
        stun,
    },
};

impl Transactions {
    pub(super) fn on_datagram(&mut self, local: SocketAddr, remote: SocketAddr, payload: &[u8]) {
        // A keep-alive: line breaks, or the zero bytes that some devices send (RFC 5626 §3.5, RFC 6223).
        if payload.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return;
        }
        let flow = Flow { protocol: Protocol::Udp, local, remote, stream: None };
        if payload.first().is_some_and(|first| *first < 0x40 && !first.is_ascii_graphic())
            && let Some(message) = stun::read(payload)
        {
            return self.on_stun(flow, message);
        }
        self.on_bytes(payload, flow);
    }

    pub(super) fn on_stream_data(&mut self, id: StreamId, payload: &[u8]) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.is_open && !stream.is_closing)
        else {
            return;
        };
        let flow = stream.flow(id);
        self.stream_lives(&flow);
        if flow.protocol.is_websocket() {
            // One frame, one message (RFC 7118 §5); a frame of line breaks is a keep-alive.
            if payload.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                if payload.len() >= 4 {
                    self.send_on_stream(id, Bytes::from_static(b"\r\n"));
                }
                return;
            }
            return self.on_bytes(payload, flow);
        }
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.framer.push(payload);
        // Handling one message may close the stream, so it is looked up anew for each.
        while let Some(frame) = self.next_frame(id) {
            match frame {
                Frame::Message(bytes) => self.on_bytes(&bytes, flow),
                Frame::Ping => self.send_on_stream(id, Bytes::from_static(b"\r\n")),
                // An answer to our own keep-alive, not the first half of a question.
                Frame::Pong if self.keep_alive_index.contains_key(&flow) => {
                    if let Some(stream) = self.streams.get_mut(id) {
                        stream.framer.was_answer();
                    }
                }
                Frame::Pong => {}
                Frame::Broken(error, head) => {
                    self.refuse(&head, flow, error);
                    self.drop_stream(id, super::StreamEnd::BadFraming);
                    return;
                }
            }
        }
        self.watch_unfinished(id);
    }

    fn next_frame(&mut self, id: StreamId) -> Option<Frame> {
        let options = self.config.parse;
        self.streams.get_mut(id).filter(|stream| !stream.is_closing)?.framer.next(&options)
    }

    /// A message that was begun must be finished in time. The clock runs from its beginning: a byte now and then does not
    /// wind it up again.
    fn watch_unfinished(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(id) else { return };
        match (stream.framer.is_unfinished(), stream.deadline) {
            (true, None) => {
                let after: Duration = self.config.limits.unfinished_message;
                let deadline = self.deadlines.arm(after, DeadlineKey::Stream(id), self.now);
                self.set_stream_deadline(id, Some(deadline));
            }
            (false, Some(_)) => self.set_stream_deadline(id, None),
            _ => {}
        }
    }

    fn on_bytes(&mut self, payload: &[u8], flow: Flow) {
        if self.config.tell_received {
            let bytes = Bytes::copy_from_slice(payload);
            self.outbox.event(TransactionEvent::Received { flow, bytes });
        }
        let scanned = match Scanned::new(payload, &self.config.parse) {
            Ok(scanned) => scanned,
            Err(ParseError { problem: Problem::NotUtf8, .. }) => {
                // The lenient attitude reads Latin-1, which needs another copy; strict refuses.
                return match Message::parse(Bytes::copy_from_slice(payload), &self.config.parse) {
                    Ok(Message::Request(request)) => self.on_latin1_request(request, flow),
                    Ok(Message::Response(response)) => self.on_response(response, flow),
                    Err(error) => self.refuse(payload, flow, error),
                };
            }
            Err(error) => return self.refuse(payload, flow, error),
        };
        if !scanned.is_request() {
            if let Message::Response(response) = scanned.into_message(Bytes::copy_from_slice(payload)) {
                self.on_response(response, flow);
            }
            return;
        }
        let Some(mut scanner) = scanned.header(payload, HeaderName::Via) else {
            return self.refuse(payload, flow, ParseError::new(0, Problem::Missing(HeaderName::Via)));
        };
        let value = scanner.whole();
        let offset = scanner.error(Problem::ControlCharacter).offset;
        let via = match Via::scan(&mut scanner) {
            Ok(via) => via,
            Err(error) => return self.refuse(payload, flow, error),
        };
        let mut facts = via.facts();
        if !self.config.follow_maddr {
            facts.maddr = None;
        }
        let top = Top {
            path: reply_path(&via, &facts, flow),
            key: KeyBase::of_branch(&self.key_secrets, &via, &facts),
            alias: facts.has_alias.then(|| SocketAddr::new(flow.remote.ip(), via.port_or_default())),
        };
        let mut shift = Shift::default();
        let message = match stamp(&via, &facts, value, flow.remote, self.overload.own()) {
            Some((range, text)) => {
                let range = offset.saturating_add(range.start)..offset.saturating_add(range.end);
                let from = range.start.saturating_add(text.as_bytes().len());
                shift = Shift { from, removed: range.len(), added: text.as_bytes().len() };
                scanned.into_message_with(payload, range, text.as_bytes())
            }
            None => Some(scanned.into_message(Bytes::copy_from_slice(payload))),
        };
        match message {
            Some(Message::Request(request)) => self.on_request(request, &top, shift),
            Some(Message::Response(_)) => {}
            None => {
                let error = ParseError::new(0, Problem::Limit(crate::limits::Limit::HeadBytes));
                self.refuse(payload, flow, error);
            }
        }
    }

    fn on_latin1_request(&mut self, request: Request, flow: Flow) {
        // The re-written text is scanned again with its Via stamped; it is UTF-8 now.
        let bytes = request.bytes().clone();
        self.on_bytes(&bytes, flow);
    }

    fn on_request(&mut self, mut request: Request, top: &Top, shift: Shift) {
        let path = top.path;
        let mut verdict = self.essentials(&request, top);
        if self.config.parse.attitude == Attitude::Strict && verdict.is_ok() {
            // A validator's server: every header is looked at, needed or not.
            let message = Message::Request(request);
            if let Err(error) = message.validate(Attitude::Strict) {
                verdict = Err(error);
            }
            let Message::Request(unchanged) = message else { return };
            request = unchanged;
        }
        let (key, merge_hash) = match verdict {
            Ok(essentials) => essentials,
            Err(mut error) => {
                let bytes = request.bytes().clone();
                error.offset = shift.undo(error.offset);
                return self.refuse(&bytes, path.flow, error);
            }
        };
        if let (Some(peer), Some(stream), Protocol::Tls) = (top.alias, path.flow.stream, path.flow.protocol) {
            self.streams.alias(stream, peer);
        }
        match request.method() {
            Method::Ack => self.on_ack(request, &key, path.flow),
            Method::Cancel => self.on_cancel(request, &key, path),
            method => {
                let key = key.of(method);
                match self.find_server(key) {
                    Some(id) => self.repeat_for_server(id),
                    None => self.on_new_request(key, request, path, merge_hash),
                }
            }
        }
    }

    /// What every request must have, well-formed (RFC 3261 §8.1.1), read once: the key of its transaction, and what a
    /// request outside of a dialog has in common with copies of it that come by other ways (§8.2.2.2).
    fn essentials(&self, request: &Request, top: &Top) -> Result<(KeyBase, Option<u64>), ParseError> {
        let from = request.from()?;
        let to = request.to()?;
        let call_id = request.call_id()?;
        request.check_cseq(request.method())?;
        request.check_repeats()?;
        let key = match &top.key {
            Some(key) => key.clone(),
            None => KeyBase::of_rfc2543(&self.key_secrets, request)?,
        };
        if to.tag().is_some() || matches!(request.method(), Method::Ack | Method::Cancel) {
            return Ok((key, None));
        }
        // SipHash over a secret: nobody can make two requests collide.
        let mut hasher = std::hash::DefaultHasher::new();
        let [secret, _] = &self.key_secrets;
        hasher.write(secret);
        hasher.write(call_id.as_bytes());
        hasher.write_u8(0);
        hasher.write(from.tag().unwrap_or_default().as_bytes());
        hasher.write_u8(0);
        hasher.write(request.get(HeaderName::CSeq).unwrap_or_default().as_bytes());
        Ok((key, Some(hasher.finish())))
    }

    fn on_new_request(&mut self, key: ServerKey, request: Request, path: ReplyPath, merge_hash: Option<u64>) {
        let origin = self.origin(path.flow);
        // Only a request outside of dialogs has a hash of that kind.
        if merge_hash.is_some() && self.stateless_methods.contains(request.method()) {
            return self.outbox.event(TransactionEvent::StatelessRequest { request, origin, path });
        }
        let merged_with = merge_hash.and_then(|hash| self.merge_index.get(&hash)).copied();
        if merged_with.is_some() && self.config.refuse_merged {
            return self.reject(path, request, StatusCode::LOOP_DETECTED, RejectRule::Merged, origin);
        }
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let Some(id) = self.open_server(key, &request, path, merge_hash) else {
            return self.reject(path, request, unavailable, RejectRule::Overloaded, origin);
        };
        self.outbox.event(TransactionEvent::Request {
            transaction: ServerId(id),
            request,
            origin,
            merged_with: merged_with.map(ServerId),
        });
    }

    fn on_ack(&mut self, request: Request, key: &KeyBase, flow: Flow) {
        let found = self.find_server(key.of(&Method::Invite));
        let wanted = match found {
            Some(id) => self.acknowledge_server(id),
            None => true,
        };
        if wanted {
            let origin = self.origin(flow);
            self.outbox.event(TransactionEvent::Ack { request, origin, transaction: found.map(ServerId) });
        }
    }

    /// A CANCEL is a transaction of its own, answered here (RFC 3261 §9.2).
    fn on_cancel(&mut self, request: Request, key: &KeyBase, path: ReplyPath) {
        let origin = self.origin(path.flow);
        let own_key = key.of(&Method::Cancel);
        if let Some(id) = self.find_server(own_key) {
            return self.repeat_for_server(id);
        }
        let target = self.find_cancelled(key);
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let Some(id) = self.open_server(own_key, &request, path, None) else {
            return self.reject(path, request, unavailable, RejectRule::Overloaded, origin);
        };
        let status =
            if target.is_some() { StatusCode::OK } else { StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST };
        let tag = crate::random::hex(&self.random.bytes::<8>());
        let response = request
            .response(status)
            .to_tag(&tag)
            .header_if(HeaderName::Server, self.config.server_name.as_deref());
        if let Ok(response) = response.finish() {
            let now = self.now;
            // The transaction was opened just now, so it takes a response.
            let _ = self.respond(ServerId(id), &response, now);
        }
        match target {
            Some(invite) => {
                let open = self.servers.get(invite).is_some_and(|server| server.machine.is_open_invite());
                if open {
                    self.outbox.event(TransactionEvent::Cancelled {
                        transaction: ServerId(invite),
                        request,
                        origin,
                    });
                }
            }
            None => self.outbox.event(TransactionEvent::Rejected {
                origin,
                request,
                answered: Some(status),
                rule: RejectRule::NothingToCancel,
            }),
        }
    }

    /// The transaction that a CANCEL means: that of any method but ACK and CANCEL with the same branch.
    fn find_cancelled(&self, key: &KeyBase) -> Option<Id> {
        let find = |method: &Method| self.find_server(key.of(method));
        find(&Method::Invite).or_else(|| {
            let others = Method::KNOWN.iter();
            others
                .filter(|method| !matches!(method, Method::Ack | Method::Cancel | Method::Invite))
                .find_map(find)
        })
    }

    fn on_response(&mut self, response: Response, flow: Flow) {
        let origin = self.origin(flow);
        let (via, cseq) = match response.check_essentials() {
            Ok(essentials) => essentials,
            Err(error) => {
                self.outbox.event(TransactionEvent::Refused { origin, error, answered: None });
                return;
            }
        };
        let branch = via.rfc3261_branch().and_then(read_branch);
        let client = branch.and_then(|(index, nonce)| self.find_client(index, &nonce, &cseq.method));
        match client {
            Some(id) => {
                if let Some(altered) = self.via_altered(id, &via) {
                    self.outbox.event(altered);
                }
                self.respond_to_client(id, response, origin);
            }
            None if cseq.method == Method::Invite && response.status().is_success() => {
                self.outbox.event(TransactionEvent::StrayResponse { response, origin });
            }
            None => self.outbox.event(TransactionEvent::ResponseDropped { origin, response }),
        }
    }

    /// A message that cannot be handled: a request is answered if enough of it can be read, and the reason phrase says
    /// what is wrong and where.
    fn refuse(&mut self, bytes: &[u8], flow: Flow, error: ParseError) {
        let origin = self.origin(flow);
        let answered = salvage(bytes, &self.config.parse.limits)
            .and_then(|salvaged| self.answer_salvaged(&salvaged, flow, error));
        self.outbox.event(TransactionEvent::Refused { origin, error, answered });
    }

    fn answer_salvaged(&mut self, salvaged: &Salvaged, flow: Flow, error: ParseError) -> Option<StatusCode> {
        let value = salvaged.get(HeaderName::Via)?;
        let mut scanner = crate::header::Scanner::new(value, Attitude::Lenient);
        let via = Via::scan_any_version(&mut scanner).ok()?;
        let mut facts = via.facts();
        if !self.config.follow_maddr {
            facts.maddr = None;
        }
        let path = reply_path(&via, &facts, flow);
        let status = error.status();
        let mut response = Response::builder(status).reason(&reason_phrase(status, &error));
        let mut is_top_via = true;
        for (name, original) in &salvaged.lines {
            let mut value = original.clone();
            if *name == HeaderName::Via
                && std::mem::take(&mut is_top_via)
                && let Some((range, text)) = stamp(&via, &facts, original, flow.remote, None)
            {
                value.replace_range(range, &String::from_utf8_lossy(text.as_bytes()));
            }
            response = response.header(*name, value);
        }
        let tag = crate::random::hex(&self.random.bytes::<8>());
        let response = response
            .to_tag(&tag)
            .header_if(HeaderName::Server, self.config.server_name.as_deref())
            .finish()
            .ok()?;
        self.send_response(None, path, response.bytes().clone());
        Some(status)
    }
}

/// What the top Via of a request says, read once.
#[derive(Debug)]
struct Top {
    path: ReplyPath,
    /// `None`: the rules of RFC 2543 apply.
    key: Option<KeyBase>,
    /// Where the sender takes requests over this connection (RFC 5923).
    alias: Option<SocketAddr>,
}

/// By how much stamping the Via moved what follows it: errors are told in the sender's terms.
#[derive(Debug, Clone, Copy, Default)]
struct Shift {
    from: usize,
    removed: usize,
    added: usize,
}

impl Shift {
    fn undo(self, offset: usize) -> usize {
        if offset < self.from {
            offset
        } else {
            offset.saturating_add(self.removed).saturating_sub(self.added)
        }
    }
}

fn reason_phrase(status: StatusCode, error: &ParseError) -> String {
    format!("{}: {error}", status.reason())
}
