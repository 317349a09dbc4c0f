//! The call flows of RFC 5589, played: transfers blind, inside the dialog and outside of it, attended, protected,
//! semi-attended, refused. The figures are written here whole; the messages the RFC prints of them have to be among them.
//!
//! Left out: §7.4 and §7.7, which are §6.1 and §7.3 begun anew by the user, and §10, which is §6.1 twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;
mod printed_flows;
mod shared;

use denwa_sip_core::{
    endpoint::*,
    message::{Method, StatusCode},
};
use ladder::Ladder;
use printed_flows::{
    Names, call, change, compare_all, compare_in_any_order, replaces_of, take_over, take_refer,
};

const NAMES: Names<'_> =
    &[("Transferor", "transferor"), ("Transferee", "transferee"), ("Transfer Target", "target")];

fn stage() -> Ladder {
    let mut ladder = Ladder::new();
    for (name, address) in [("transferor", 1), ("transferee", 2), ("target", 3)] {
        ladder.endpoint(name, &format!("192.0.2.{address}:5060"));
    }
    ladder
}

/// The transferee calls the transferor, who holds him. Transferor's and transferee's calls.
fn held(ladder: &mut Ladder) -> (CallHandle, CallHandle) {
    let (transferees, transferors) = called(ladder, "transferee", "transferor");
    change(ladder, "transferor", transferors, "transferee", transferees, 2);
    (transferors, transferees)
}

/// A call that is answered without ringing, as the figures have it.
fn called(ladder: &mut Ladder, from: &'static str, to: &'static str) -> (CallHandle, CallHandle) {
    let callers = ladder.call(from, to);
    ladder.run();
    let callees = ladder.accept(to);
    ladder.answer(to, callees);
    ladder.run();
    (callers, callees)
}

const HELD: &str = "transferee > transferor INVITE
    transferor > transferee 200
    transferee > transferor ACK
    transferor > transferee INVITE
    transferee > transferor 200
    transferor > transferee ACK
    ";

fn report(ladder: &mut Ladder, report: Option<SubscriptionHandle>, status: StatusCode) {
    ladder.tell("transferee", |it, now| it.report_transfer(report.unwrap(), status, None, now)).unwrap();
    ladder.run();
}

fn progress(ladder: &mut Ladder) -> u16 {
    ladder.event("transferor", |event| match event {
        Event::TransferProgress { status, .. } if status.is_final() => Some(status.code()),
        _ => None,
    })
}

/// REFER outside of the call's dialog, which `Target-Dialog` names (RFC 4538).
fn refer_outside(
    ladder: &mut Ladder,
    whom: &'static str,
    about: CallHandle,
    transfer: &Transfer,
) -> Option<SubscriptionHandle> {
    let (from, to) = (Party::new(ladder.uri("transferor")), Party::new(ladder.uri(whom)));
    let mut refer = SendRequest::new(Method::Refer, from, to, ladder.target(whom));
    let id = ladder.user("transferor").endpoint.call(about).unwrap();
    let value =
        format!("{};local-tag={};remote-tag={}", id.call_id, id.local_tag.unwrap(), id.remote_tag.unwrap());
    refer.headers = Headers::new().with("Target-Dialog", value).unwrap();
    ladder.tell("transferor", |it, now| it.refer(refer, transfer, now)).unwrap();
    take_refer(ladder, whom).2
}

const OUTSIDE: &str = "transferor > transferee REFER
    transferee > transferor 202
    transferee > transferor NOTIFY
    transferor > transferee 200
    ";

#[test]
fn rfc_5589_section_6_1_basic_transfer_by_a_refer_outside_the_dialog() {
    let mut ladder = stage();
    let (transferors, _) = held(&mut ladder);
    let transfer = Transfer::to(ladder.uri("target"));
    let reports = refer_outside(&mut ladder, "transferee", transferors, &transfer);
    called(&mut ladder, "transferee", "target");
    report(&mut ladder, reports, StatusCode::OK);
    ladder.hang_up("transferor", transferors);
    ladder.run();
    let figure = format!(
        "{HELD}{OUTSIDE}transferee > target INVITE
        target > transferee 200
        transferee > target ACK
        transferee > transferor NOTIFY
        transferor > transferee 200
        transferor > transferee BYE
        transferee > transferor 200"
    );
    compare_in_any_order(&mut ladder, 5589, "6.1", NAMES, &figure);
    assert_eq!(progress(&mut ladder), 200);
}

#[test]
fn rfc_5589_section_6_2_transfer_inside_the_dialog() {
    let mut ladder = stage();
    let (transferors, _) = held(&mut ladder);
    let transfer = Transfer::to(ladder.uri("target"));
    ladder.tell("transferor", |it, now| it.transfer(transferors, &transfer, now)).unwrap();
    let (refer_to, replaces, reports) = take_refer(&mut ladder, "transferee");
    assert_eq!((refer_to, replaces), (ladder.uri("target"), None));
    called(&mut ladder, "transferee", "target");
    report(&mut ladder, reports, StatusCode::OK);
    ladder.hang_up("transferor", transferors);
    ladder.run();
    let figure = format!(
        "{HELD}{OUTSIDE}transferee > target INVITE
        target > transferee 200
        transferee > target ACK
        transferee > transferor NOTIFY
        transferor > transferee 200
        transferor > transferee BYE
        transferee > transferor 200"
    );
    compare_in_any_order(&mut ladder, 5589, "6.2", NAMES, &figure);
}

#[test]
fn rfc_5589_section_6_3_a_target_that_is_busy_leaves_the_held_call() {
    let mut ladder = stage();
    let (transferors, transferees) = held(&mut ladder);
    let transfer = Transfer::to(ladder.uri("target"));
    let reports = refer_outside(&mut ladder, "transferee", transferors, &transfer);
    let failed = ladder.call("transferee", "target");
    ladder.run();
    let (request, _) = ladder.incoming("target", Method::Invite);
    ladder.tell("target", |it, now| it.respond(request, &Reply::new(StatusCode::BUSY_HERE), now)).unwrap();
    ladder.run();
    ladder.end_of("transferee", failed);
    report(&mut ladder, reports, StatusCode::BUSY_HERE);
    assert_eq!(progress(&mut ladder), 486);
    change(&mut ladder, "transferor", transferors, "transferee", transferees, 3);
    let figure = format!(
        "{HELD}{OUTSIDE}transferee > target INVITE
        target > transferee 486
        transferee > target ACK
        transferee > transferor NOTIFY
        transferor > transferee 200
        transferor > transferee INVITE
        transferee > transferor 200
        transferor > transferee ACK"
    );
    // Of this one no message is printed.
    compare_all(&mut ladder, &figure);
}

/// The transferor speaks to the target, and holds it.
fn consulted(ladder: &mut Ladder) -> (CallHandle, CallHandle) {
    let (transferors, targets) = called(ladder, "transferor", "target");
    change(ladder, "transferor", transferors, "target", targets, 2);
    (transferors, targets)
}

const CONSULTED: &str = "transferor > target INVITE
    target > transferor 200
    transferor > target ACK
    transferor > target INVITE
    target > transferor 200
    transferor > target ACK
    ";

#[test]
fn rfc_5589_section_7_2_the_target_is_protected_by_referring_it_instead() {
    let mut ladder = stage();
    let (transferors, transferees) = held(&mut ladder);
    let (consulting, _) = consulted(&mut ladder);
    // The target is asked to take the transferee over; the transferee never learns its address beforehand.
    let transfer = Transfer { replaces: Some(transferors), ..Transfer::to(ladder.uri("transferee")) };
    let reports = refer_outside(&mut ladder, "target", consulting, &transfer);
    let replaces = replaces_of(&mut ladder, "transferee", transferees);
    let place = ladder.place("target", "transferee");
    take_over(&mut ladder, "target", "transferee", &replaces, place);
    ladder.tell("target", |it, now| it.report_transfer(reports.unwrap(), StatusCode::OK, None, now)).unwrap();
    ladder.run();
    ladder.hang_up("transferor", consulting);
    ladder.run();
    let figure = format!(
        "{HELD}{CONSULTED}transferor > target REFER
        target > transferor 202
        target > transferor NOTIFY
        transferor > target 200
        target > transferee INVITE
        transferee > target 200
        target > transferee ACK
        transferee > transferor BYE
        transferor > transferee 200
        target > transferor NOTIFY
        transferor > target 200
        transferor > target BYE
        target > transferor 200"
    );
    compare_in_any_order(&mut ladder, 5589, "7.2", NAMES, &figure);
}

fn attended(inside: bool) -> Ladder {
    let mut ladder = stage();
    let (transferors, _) = held(&mut ladder);
    let (consulting, targets) = consulted(&mut ladder);
    let transfer = Transfer { replaces: Some(consulting), ..Transfer::to(ladder.uri("target")) };
    let reports = if inside {
        ladder.tell("transferor", |it, now| it.transfer(transferors, &transfer, now)).unwrap();
        let (_, replaces, reports) = take_refer(&mut ladder, "transferee");
        assert!(replaces.is_some());
        reports
    } else {
        refer_outside(&mut ladder, "transferee", transferors, &transfer)
    };
    let replaces = replaces_of(&mut ladder, "target", targets);
    let place = ladder.place("transferee", "target");
    take_over(&mut ladder, "transferee", "target", &replaces, place);
    report(&mut ladder, reports, StatusCode::OK);
    ladder.hang_up("transferor", transferors);
    ladder.run();
    assert_eq!(progress(&mut ladder), 200);
    ladder
}

#[test]
fn rfc_5589_section_7_3_attended_transfer() {
    for inside in [false, true] {
        let mut ladder = attended(inside);
        let figure = format!(
            "{HELD}{CONSULTED}{OUTSIDE}transferee > target INVITE
            target > transferee 200
            transferee > target ACK
            target > transferor BYE
            transferor > target 200
            transferee > transferor NOTIFY
            transferor > transferee 200
            transferor > transferee BYE
            transferee > transferor 200"
        );
        compare_in_any_order(&mut ladder, 5589, "7.3", NAMES, &figure);
    }
}

#[test]
fn rfc_5589_section_7_5_a_contact_that_does_not_lead_to_the_target_is_tried_again_by_its_address() {
    let mut ladder = stage();
    let (transferors, _) = held(&mut ladder);
    let (consulting, targets) = consulted(&mut ladder);
    let transfer = Transfer { replaces: Some(consulting), ..Transfer::to(ladder.uri("target")) };
    let reports = refer_outside(&mut ladder, "transferee", transferors, &transfer);
    // The Contact leads to another instance, which knows no such call: 404, and the transferor is told.
    let failed = ladder.call("transferee", "target");
    ladder.run();
    let (request, _) = ladder.incoming("target", Method::Invite);
    ladder.tell("target", |it, now| it.respond(request, &Reply::new(StatusCode::NOT_FOUND), now)).unwrap();
    ladder.run();
    ladder.end_of("transferee", failed);
    report(&mut ladder, reports, StatusCode::NOT_FOUND);
    assert_eq!(progress(&mut ladder), 404);
    // The second REFER names the address of record.
    let reports = refer_outside(&mut ladder, "transferee", transferors, &transfer);
    let replaces = replaces_of(&mut ladder, "target", targets);
    let place = ladder.place("transferee", "target");
    take_over(&mut ladder, "transferee", "target", &replaces, place);
    report(&mut ladder, reports, StatusCode::OK);
    assert_eq!(progress(&mut ladder), 200);
}

#[test]
fn rfc_5589_section_7_6_semi_attended_the_target_still_rings() {
    let mut ladder = stage();
    let (transferors, _) = held(&mut ladder);
    // The transferor gives up waiting, and transfers before the target has answered.
    let ringing = ladder.call("transferor", "target");
    ladder.run();
    let targets = ladder.accept("target");
    ladder.ring("target", targets);
    ladder.run();
    ladder.tell("transferor", |it, now| it.cancel(ringing, &Headers::new(), now)).unwrap();
    ladder.run();
    ladder.end_of("target", targets);
    let transfer = Transfer::to(ladder.uri("target"));
    let reports = refer_outside(&mut ladder, "transferee", transferors, &transfer);
    call(&mut ladder, "transferee", "target");
    report(&mut ladder, reports, StatusCode::OK);
    assert_eq!(progress(&mut ladder), 200);
}

#[test]
fn rfc_5589_section_8_referred_by_goes_on_to_the_target() {
    let mut ladder = stage();
    let (transferors, _) = held(&mut ladder);
    let referrer = Party::new(ladder.uri("transferor"));
    let transfer = Transfer { referred_by: Some(referrer), ..Transfer::to(ladder.uri("target")) };
    refer_outside(&mut ladder, "transferee", transferors, &transfer);
    let refer =
        ladder.messages.iter().rev().find(|(arrow, _)| arrow == "transferor -> transferee REFER").unwrap();
    let referred_by = refer.1.get("Referred-By").unwrap().to_owned();
    let mut place = ladder.place("transferee", "target");
    place.headers = Headers::new().with("Referred-By", &referred_by).unwrap();
    ladder.tell("transferee", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let (_, invite) = ladder.incoming("target", Method::Invite);
    assert_eq!(invite.get("Referred-By"), Some(&*referred_by));
}
