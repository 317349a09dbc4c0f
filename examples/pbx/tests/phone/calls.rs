//! Calls: placed, answered, refused, changed, transferred and hung up.

use super::{Dialog, IpText as _, Message, Phone};

impl Phone {
    /// Calls a number, with password when asked for; the INVITE is on its way when this returns.
    pub fn call(&mut self, number: &str) -> Dialog {
        let sdp = self.offer("0 8 101");
        self.call_with(number, &sdp)
    }

    pub fn call_with(&mut self, number: &str, sdp: &str) -> Dialog {
        let call_id = self.fresh("call");
        let tag = self.fresh("t");
        let local = format!("<sip:{}@{}>;tag={tag}", self.user, self.server.ip_text());
        self.call_as(number, sdp, call_id, local, 1)
    }

    /// The same call again with more digits, as a telephone that sends them as they are dialled does (RFC 3578).
    pub fn call_again(&mut self, number: &str, before: &Dialog) -> Dialog {
        let sdp = self.offer("0 8 101");
        self.call_as(number, &sdp, before.call_id.clone(), before.local.clone(), before.cseq + 1)
    }

    fn call_as(&mut self, number: &str, sdp: &str, call_id: String, local: String, first: u32) -> Dialog {
        let uri = format!("sip:{number}@{}", self.server);
        let mut cseq = first;
        let mut authorization = String::new();
        let more = self.more.clone();
        loop {
            let branch = self.fresh("z9hG4bK");
            let via = self.via(&branch);
            let body =
                if sdp.is_empty() { String::new() } else { "Content-Type: application/sdp\r\n".to_owned() };
            let text = format!(
                "INVITE {uri} SIP/2.0\r\nVia: {via}\r\nFrom: {local}\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\n\
                 CSeq: {cseq} INVITE\r\nMax-Forwards: 70\r\nContact: {}\r\n{more}{authorization}{body}Content-Length: {}\r\n\r\n{sdp}",
                self.contact(),
                sdp.len()
            );
            self.wire.send(&text);
            let invite = Message::parse(&text);
            let dialog = Dialog {
                call_id: call_id.clone(),
                local: local.clone(),
                remote: format!("<{uri}>"),
                target: uri.clone(),
                cseq,
                invite,
                via,
            };
            if self.password.is_empty() || cseq > first {
                return dialog;
            }
            // A late answer to an earlier call is not the answer to this one.
            let response = self.final_of(&dialog);
            assert_eq!(response.status(), 407, "{}", response.first_line);
            let digest = self.digest(response.header("Proxy-Authenticate"), "INVITE", &uri);
            authorization = format!("Proxy-Authorization: {digest}\r\n");
            cseq += 1;
        }
    }

    /// The ACK of a final response that is no success: same branch.
    pub fn ack_failure(&mut self, dialog: &Dialog, response: &Message) {
        let Dialog { call_id, local, target, cseq, via, .. } = dialog;
        let text = format!(
            "ACK {target} SIP/2.0\r\nVia: {via}\r\nFrom: {local}\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} ACK\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            response.header("To")
        );
        self.wire.send(&text);
    }

    /// Waits for the 200 of a call and acknowledges it.
    pub fn answered(&mut self, dialog: &mut Dialog) -> Message {
        let response = self.expect("INVITE", 200);
        self.acknowledge(dialog, &response, "");
        response
    }

    /// The ACK of a 200, with a description when the 200 held an offer.
    pub fn acknowledge(&mut self, dialog: &mut Dialog, response: &Message, sdp: &str) {
        dialog.remote = response.header("To").to_owned();
        dialog.target = response.contact_uri();
        let text = self.in_dialog(dialog, "ACK", dialog.cseq, "", sdp);
        self.wire.send(&text);
    }

    /// Waits for the refusal of a call and acknowledges it.
    pub fn refused(&mut self, dialog: &Dialog) -> Message {
        let response = self.final_response("INVITE");
        self.ack_failure(dialog, &response);
        response
    }

    /// The ACK of a refused request inside a dialog; its branch does not matter on this way.
    pub fn ack_failure_of(&mut self, dialog: &Dialog, response: &Message) {
        let branch =
            response.header("Via").split("branch=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let text = self.in_dialog(dialog, "ACK", dialog.cseq, "", "");
        let (head, rest) = text.split_once("branch=").unwrap();
        let rest = rest.split_once(';').unwrap().1;
        self.wire.send(&format!("{head}branch={branch};{rest}"));
    }

    /// The final response to a call, whatever requests come before it.
    pub fn final_of(&mut self, dialog: &Dialog) -> Message {
        loop {
            let response = self.final_response("INVITE");
            if response.header("Call-ID") == dialog.call_id {
                self.ack_failure(dialog, &response);
                return response;
            }
        }
    }

    pub fn cancel(&mut self, dialog: &Dialog) {
        let Dialog { call_id, local, remote, target, cseq, via, .. } = dialog;
        let text = format!(
            "CANCEL {target} SIP/2.0\r\nVia: {via}\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} CANCEL\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        self.wire.send(&text);
    }

    /// A call to a number that the callee answers, with A-law, and that is up: his ends of it, hers, and the 200 he got.
    pub fn talk(&mut self, number: &str, callee: &mut Self) -> (Dialog, Dialog, Message) {
        let mut calling = self.call(number);
        let called = callee.invited();
        callee.answer(&called, &callee.offer("8 101"));
        let answer = self.answered(&mut calling);
        (calling, called, answer)
    }

    // -- calls, as callee

    /// Gives up a call that has not been answered: it rings at the callee, is cancelled, and the callee says so (RFC 3261 §9).
    pub fn give_up(&mut self, calling: &Dialog, callee: &mut Self, called: &Dialog) {
        callee.reply(called, 180, "");
        self.expect("INVITE", 180);
        self.cancel(calling);
        let cancel = callee.expect("CANCEL", 0);
        callee.reply_to(&cancel, cancel.header("To"), 200, "");
        callee.reply(called, 487, "");
    }

    /// Waits for an INVITE that begins a call.
    pub fn invited(&mut self) -> Dialog {
        let invite = self.expect("INVITE", 0);
        let tag = self.fresh("t");
        Dialog {
            call_id: invite.header("Call-ID").to_owned(),
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: invite.contact_uri(),
            cseq: 100,
            invite,
            via: String::new(),
        }
    }

    /// Answers the dialog's INVITE.
    pub fn reply(&mut self, dialog: &Dialog, status: u16, sdp: &str) {
        self.reply_to(&dialog.invite, &dialog.local, status, sdp);
    }

    /// Answers any request of a dialog.
    pub fn reply_to(&mut self, request: &Message, to: &str, status: u16, sdp: &str) {
        let vias: String = request.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
        let body = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "SIP/2.0 {status} Test\r\n{vias}From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: {}\r\n{}{body}\
             Content-Length: {}\r\n\r\n{sdp}",
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            self.contact(),
            self.more,
            sdp.len()
        );
        self.wire.send(&text);
    }

    /// Answers the dialog's INVITE with 302: its own forwarding is on.
    pub fn redirect(&mut self, dialog: &Dialog, number: &str) {
        let request = &dialog.invite;
        let text = format!(
            "SIP/2.0 302 Moved Temporarily\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:{number}@192.0.2.77>\r\nContent-Length: 0\r\n\r\n",
            request.header("Via"),
            request.header("From"),
            dialog.local,
            request.header("Call-ID"),
            request.header("CSeq"),
        );
        self.wire.send(&text);
    }

    /// The same through a proxy that stays on the route.
    pub fn answer_through(&mut self, dialog: &Dialog, sdp: &str) -> Message {
        self.more =
            dialog.invite.all("Record-Route").map(|route| format!("Record-Route: {route}\r\n")).collect();
        let ack = self.answer(dialog, sdp);
        self.more.clear();
        ack
    }

    /// 180, then 200 with an answer, then the ACK.
    pub fn answer(&mut self, dialog: &Dialog, sdp: &str) -> Message {
        self.reply(dialog, 180, "");
        self.reply(dialog, 200, sdp);
        self.expect("ACK", 0)
    }

    // -- inside a dialog

    /// Asks that the other side be connected with somebody else; waits for the 202.
    pub fn refer(&mut self, dialog: &mut Dialog, refer_to: &str) {
        self.request(dialog, "REFER", &format!("Refer-To: <{refer_to}>\r\n"), "");
        assert_eq!(self.final_response("REFER").status(), 202);
    }

    /// Answers the NOTIFYs about a transfer and the BYEs that end this side's `calls`; gives what they said, the last word
    /// being final. BYE and the last NOTIFY come in any order.
    pub fn transferred(&mut self, calls: usize) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        let mut gone = 0;
        while gone < calls || said.last().is_none_or(|last| last.starts_with("SIP/2.0 1")) {
            let message = self.next();
            assert_eq!(message.status(), 0, "{}: {}", self.user, message.first_line);
            match message.method().as_str() {
                "NOTIFY" => said.push(message.body.lines().next().unwrap_or_default().to_owned()),
                "BYE" => gone += 1,
                _ => panic!("{}: expected NOTIFY or BYE, got {}", self.user, message.first_line),
            }
            self.reply_to(&message, message.header("To"), 200, "");
        }
        said
    }

    /// Answers one NOTIFY; gives the first line of its body.
    pub fn notified(&mut self) -> String {
        let notify = self.expect("NOTIFY", 0);
        self.reply_to(&notify, notify.header("To"), 200, "");
        notify.body.lines().next().unwrap_or_default().to_owned()
    }

    /// What names this dialog to the other end of another call, in a Refer-To (RFC 3891).
    pub fn replaces(&self, dialog: &Dialog) -> String {
        let tag = |header: &str| header.split("tag=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let text =
            format!("{};to-tag={};from-tag={}", dialog.call_id, tag(&dialog.remote), tag(&dialog.local));
        text.replace('@', "%40").replace(';', "%3B").replace('=', "%3D")
    }

    /// Sends a request of this side.
    pub fn request(&mut self, dialog: &mut Dialog, method: &str, headers: &str, body: &str) {
        dialog.cseq += 1;
        let text = self.in_dialog(dialog, method, dialog.cseq, headers, body);
        self.wire.send(&text);
    }

    pub fn hang_up(&mut self, dialog: &mut Dialog) {
        self.request(dialog, "BYE", "", "");
        assert_eq!(self.final_response("BYE").status(), 200);
    }

    /// Waits for the other side's BYE and answers it.
    pub fn hung_up(&mut self, dialog: &Dialog) -> Message {
        let bye = self.expect("BYE", 0);
        self.reply_to(&bye, bye.header("To"), 200, "");
        assert_eq!(bye.header("Call-ID"), dialog.call_id);
        bye
    }

    fn in_dialog(&mut self, dialog: &Dialog, method: &str, cseq: u32, headers: &str, body: &str) -> String {
        let Dialog { call_id, local, remote, target, .. } = dialog;
        // Proxies that stay on the route are known by the INVITE of whoever called; ours add none.
        let routes: String =
            dialog.invite.all("Record-Route").map(|route| format!("Route: {route}\r\n")).collect();
        let headers = &format!("{routes}{headers}");
        let branch = self.fresh("z9hG4bK");
        let kind = if body.is_empty() || headers.contains("Content-Type") {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {target} SIP/2.0\r\nVia: {}\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContact: {}\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            self.via(&branch),
            self.contact(),
            body.len()
        )
    }

    // -- descriptions and voice
}
