//! Each pattern of RFC 6337 table 1 and each row of its tables 3 and 4, by name. `A` and `B` are the two ends; `a`
//! is what A knows of the dialog.

use super::{Carrier, Conflict, Meaning, OfferAnswer, OpenOffer, Side};
use Meaning::{Answer, Ignored, Nothing, Offer, Preview};
use Side::{Local, Remote};

/// A dialog with one exchange done, at rest.
fn at_rest() -> OfferAnswer {
    let mut oa = OfferAnswer::new();
    assert_eq!(oa.invite(Local, true), Ok(Offer));
    assert_eq!(oa.success(Remote, true), Ok(Answer));
    assert_eq!(oa.ack(Local, false), Ok(Nothing));
    assert!(oa.is_established());
    oa
}

#[test]
fn pattern_1_invite_and_success() {
    for (here, there) in [(Local, Remote), (Remote, Local)] {
        let mut oa = OfferAnswer::new();
        assert_eq!(oa.invite(here, true), Ok(Offer));
        assert_eq!(oa.provisional(there, true), Preview);
        assert_eq!(oa.success(there, true), Ok(Answer));
        assert_eq!(oa.ack(here, true), Ok(Ignored));
        assert_eq!(oa.open(), None);
    }
}

#[test]
fn pattern_2_success_and_ack() {
    for (here, there) in [(Local, Remote), (Remote, Local)] {
        let mut oa = OfferAnswer::new();
        assert_eq!(oa.invite(here, false), Ok(Nothing));
        assert_eq!(oa.provisional(there, true), Ignored);
        assert_eq!(oa.success(there, true), Ok(Offer));
        assert_eq!(oa.open(), Some(OpenOffer { from: there, carrier: Carrier::Success }));
        assert_eq!(oa.ack(here, true), Ok(Answer));
        assert_eq!(oa, at_rest());
    }
}

#[test]
fn pattern_3_invite_and_reliable_provisional() {
    for (here, there) in [(Local, Remote), (Remote, Local)] {
        let mut oa = OfferAnswer::new();
        assert_eq!(oa.invite(here, true), Ok(Offer));
        assert_eq!(oa.reliable(there, false), Ok(Nothing), "the first reliable one need not answer");
        assert_eq!(oa.reliable(there, true), Ok(Answer));
        assert_eq!(oa.prack(here, false), Ok(Nothing));
        assert_eq!(oa.prack_final(there, true, false), Ok(Nothing));
        assert_eq!(oa.reliable(there, true), Ok(Ignored), "an answer cannot be updated");
        assert_eq!(oa.success(there, true), Ok(Ignored));
        assert_eq!(oa, at_rest());
    }
}

#[test]
fn pattern_4_reliable_provisional_and_prack() {
    for (here, there) in [(Local, Remote), (Remote, Local)] {
        let mut oa = OfferAnswer::new();
        assert_eq!(oa.invite(here, false), Ok(Nothing));
        assert_eq!(oa.reliable(there, false), Err(Conflict::OfferDue));
        assert_eq!(oa.reliable(there, true), Ok(Offer));
        assert_eq!(oa.prack(here, true), Ok(Answer));
        assert_eq!(oa.prack_final(there, true, false), Ok(Nothing));
        assert_eq!(oa.success(there, false), Ok(Nothing));
        assert_eq!(oa, at_rest());
    }
}

#[test]
fn pattern_5_prack_and_its_success() {
    for (here, there) in [(Local, Remote), (Remote, Local)] {
        let mut oa = OfferAnswer::new();
        assert_eq!(oa.invite(here, true), Ok(Offer));
        assert_eq!(oa.reliable(there, true), Ok(Answer));
        assert_eq!(oa.prack(here, true), Ok(Offer));
        assert_eq!(oa.prack_final(there, true, true), Ok(Answer));
        assert_eq!(oa.success(there, false), Ok(Nothing));
        assert_eq!(oa, at_rest());
    }
}

#[test]
fn pattern_6_update_and_its_success() {
    for (here, there) in [(Local, Remote), (Remote, Local)] {
        let mut oa = at_rest();
        assert_eq!(oa.update(here, true), Ok(Offer));
        assert_eq!(oa.update_final(there, true, true), Ok(Answer));
        assert_eq!(oa.update(here, false), Ok(Nothing), "an UPDATE need not offer");
        assert_eq!(oa.update_final(there, true, false), Ok(Nothing));
        assert_eq!(oa, at_rest());
    }
}

#[test]
fn update_waits_for_the_first_exchange() {
    let mut oa = OfferAnswer::new();
    assert_eq!(oa.invite(Local, true), Ok(Offer));
    assert_eq!(oa.update(Local, true), Err(Conflict::OwnInvite));
    assert_eq!(oa.update(Remote, true).unwrap_err().status(), 491);
    let mut oa = OfferAnswer::new();
    assert_eq!(oa.invite(Remote, true), Ok(Offer));
    assert_eq!(oa.update(Remote, true).unwrap_err().status(), 500);
}

#[test]
fn update_may_offer_in_an_early_dialog_once_prack_is_done() {
    let mut oa = OfferAnswer::new();
    assert_eq!(oa.invite(Local, true), Ok(Offer));
    assert_eq!(oa.reliable(Remote, true), Ok(Answer));
    assert_eq!(oa.update(Local, true), Err(Conflict::OwnInvite), "UAC-IU");
    assert_eq!(oa.prack(Local, false), Ok(Nothing));
    assert_eq!(oa.update(Local, true), Err(Conflict::OwnInvite), "not before its 2xx");
    assert_eq!(oa.prack_final(Remote, true, false), Ok(Nothing));
    assert_eq!(oa.update(Local, true), Ok(Offer));
    assert_eq!(oa.update_final(Remote, true, true), Ok(Answer));
    assert_eq!(oa.success(Remote, false), Ok(Nothing));
}

#[test]
fn a_failed_reinvite_or_update_rolls_back() {
    let mut oa = at_rest();
    assert_eq!(oa.invite(Local, true), Ok(Offer));
    assert_eq!(oa.invite_failed(), Some(OpenOffer { from: Local, carrier: Carrier::Invite }));
    assert_eq!(oa, at_rest());
    assert_eq!(oa.update(Remote, true), Ok(Offer));
    assert_eq!(oa.update_final(Local, true, false), Err(Conflict::AnswerDue));
    assert_eq!(oa.update_final(Local, false, false), Ok(Nothing));
    assert_eq!(oa, at_rest());
}

#[test]
fn a_success_without_the_answer_is_told() {
    let mut oa = OfferAnswer::new();
    assert_eq!(oa.invite(Local, true), Ok(Offer));
    assert_eq!(oa.success(Remote, false), Ok(Meaning::AnswerMissing));
    let mut oa = OfferAnswer::new();
    assert_eq!(oa.invite(Local, false), Ok(Nothing));
    assert_eq!(oa.success(Remote, false), Ok(Meaning::OfferMissing));
    let mut oa = OfferAnswer::new();
    assert_eq!(oa.invite(Remote, true), Ok(Offer));
    assert_eq!(oa.success(Local, false), Err(Conflict::AnswerDue));
    assert_eq!(oa.success(Local, true), Ok(Answer), "and can still be sent");
}

/// Each row of table 3: A sent offer 1, B's answer to it and B's offer 2 cross, so A sees offer 2 first; what A says.
mod table_3_message_crossing {
    use super::*;

    #[test]
    fn update_crossed_by_update_uas_ucu() {
        let mut a = at_rest();
        assert_eq!(a.update(Local, true), Ok(Offer));
        assert_eq!(a.update(Remote, true), Err(Conflict::OwnUpdate));
        assert_eq!(Conflict::OwnUpdate.status(), 491);
    }

    #[test]
    fn update_crossed_by_invite_uas_uci() {
        let mut a = at_rest();
        assert_eq!(a.update(Local, true), Ok(Offer));
        assert_eq!(a.invite(Remote, true), Err(Conflict::OwnUpdate));
        assert_eq!(a.invite(Remote, false), Err(Conflict::OwnUpdate));
    }

    #[test]
    fn update_crossed_by_a_response_to_reinvite_figure_4() {
        let mut a = at_rest();
        assert_eq!(a.update(Local, true), Ok(Offer));
        assert_eq!(a.invite(Local, false), Err(Conflict::OwnUpdate), "UAC-UI");
        let mut b = at_rest();
        assert_eq!(b.update(Remote, true), Ok(Offer));
        assert_eq!(b.invite(Remote, false).unwrap_err().status(), 500, "UAS-UsI");
    }

    #[test]
    fn update_crossed_by_a_response_to_reinvite_figure_5() {
        let mut a = at_rest();
        assert_eq!(a.invite(Local, false), Ok(Nothing));
        assert_eq!(a.reliable(Remote, true), Ok(Offer));
        assert_eq!(a.update(Local, true), Err(Conflict::OwnInvite), "UAC-IU");
        let mut b = at_rest();
        assert_eq!(b.invite(Remote, false), Ok(Nothing));
        assert_eq!(b.reliable(Local, true), Ok(Offer));
        assert_eq!(b.update(Remote, true).unwrap_err().status(), 500, "UAS-IsU");
    }

    #[test]
    fn update_crossed_by_prack_figure_9() {
        let mut a = at_rest();
        assert_eq!(a.invite(Remote, true), Ok(Offer));
        assert_eq!(a.reliable(Local, true), Ok(Answer));
        assert_eq!(a.update(Local, true), Err(Conflict::PeerInvite), "UAC-IU: the PRACK is not done");
        let mut b = at_rest();
        assert_eq!(b.invite(Local, true), Ok(Offer));
        assert_eq!(b.reliable(Remote, true), Ok(Answer));
        assert_eq!(b.update(Remote, true).unwrap_err().status(), 491, "UAS-IcU");
    }

    #[test]
    fn prack_crossed_by_update_uas_icu() {
        let mut a = at_rest();
        assert_eq!(a.invite(Local, true), Ok(Offer));
        assert_eq!(a.reliable(Remote, true), Ok(Answer));
        assert_eq!(a.prack(Local, true), Ok(Offer));
        assert_eq!(a.update(Remote, true).unwrap_err().status(), 491);
    }

    #[test]
    fn success_crossed_by_update_uas_isu_and_by_invite_uas_isi() {
        let mut a = at_rest();
        assert_eq!(a.invite(Remote, false), Ok(Nothing));
        assert_eq!(a.success(Local, true), Ok(Offer));
        assert_eq!(a.update(Remote, true).unwrap_err().status(), 500);
        assert_eq!(a.invite(Remote, true).unwrap_err().status(), 500);
    }

    #[test]
    fn reliable_crossed_by_update_uas_isu_figure_6() {
        let mut a = at_rest();
        assert_eq!(a.invite(Remote, false), Ok(Nothing));
        assert_eq!(a.reliable(Local, true), Ok(Offer));
        assert_eq!(a.update(Remote, true).unwrap_err().status(), 500);
    }

    #[test]
    fn invite_crossed_by_update_uas_icu_figures_7_and_8() {
        let mut a = at_rest();
        assert_eq!(a.invite(Local, true), Ok(Offer));
        assert_eq!(a.update(Remote, true).unwrap_err().status(), 491);
    }
}

/// Each row of table 4: both ends offer at once.
mod table_4_glare {
    use super::*;

    #[test]
    fn reinvite_meets_reinvite_uas_ici() {
        let mut a = at_rest();
        assert_eq!(a.invite(Local, true), Ok(Offer));
        assert_eq!(a.invite(Remote, true).unwrap_err().status(), 491);
    }

    #[test]
    fn reinvite_meets_update_uas_icu_and_uas_uci() {
        let mut a = at_rest();
        assert_eq!(a.invite(Local, true), Ok(Offer));
        assert_eq!(a.update(Remote, true).unwrap_err().status(), 491);
        let mut b = at_rest();
        assert_eq!(b.update(Local, true), Ok(Offer));
        assert_eq!(b.invite(Remote, true).unwrap_err().status(), 491);
    }

    #[test]
    fn update_meets_update_uas_ucu() {
        let mut a = at_rest();
        assert_eq!(a.update(Local, true), Ok(Offer));
        assert_eq!(a.update(Remote, true).unwrap_err().status(), 491);
    }

    #[test]
    fn update_meets_an_offer_in_a_response_figures_12_and_13() {
        let mut b = at_rest();
        assert_eq!(b.invite(Remote, false), Ok(Nothing));
        assert_eq!(b.success(Local, true), Ok(Offer));
        assert_eq!(b.update(Remote, true).unwrap_err().status(), 500);
    }

    #[test]
    fn update_meets_prack_uas_icu_figure_11() {
        let mut b = at_rest();
        assert_eq!(b.invite(Local, true), Ok(Offer));
        assert_eq!(b.reliable(Remote, true), Ok(Answer));
        assert_eq!(b.prack(Local, true), Ok(Offer));
        assert_eq!(b.update(Remote, true).unwrap_err().status(), 491);
        // A breaks UAC-IU: it took the PRACK's offer though its own UPDATE was open, and its UPDATE is refused.
        let mut a = at_rest();
        assert_eq!(a.invite(Remote, true), Ok(Offer));
        assert_eq!(a.reliable(Local, false), Ok(Nothing));
        assert_eq!(a.success(Local, true), Ok(Answer));
    }
}

/// Figures 14 to 17: two of one kind from one side.
#[test]
fn a_second_request_before_the_first_is_answered() {
    let mut b = at_rest();
    assert_eq!(b.update(Remote, true), Ok(Offer));
    assert_eq!(b.update(Remote, true).unwrap_err().status(), 500, "UAS-UsU, figure 15");
    let mut b = at_rest();
    assert_eq!(b.invite(Remote, true), Ok(Offer));
    assert_eq!(b.invite(Remote, true).unwrap_err().status(), 500, "UAS-IsI");
    let mut a = at_rest();
    assert_eq!(a.invite(Local, true), Ok(Offer));
    assert_eq!(a.invite(Local, true), Err(Conflict::OwnInvite), "UAC-II");
    let mut a = at_rest();
    assert_eq!(a.update(Local, false), Ok(Nothing));
    assert_eq!(a.update(Local, false), Err(Conflict::OwnUpdate), "UAC-UU");
}
