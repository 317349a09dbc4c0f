//! Which early dialogs the branches of an INVITE have made, so that the caller is told by 199 when one is over
//! (RFC 6228 §6).
//!
//! Only for callers that say they understand 199, and do not demand that provisional responses be reliable: a proxy
//! cannot send those.

use crate::{
    header::HeaderName,
    message::{Method, Request, Response, StatusCode},
};

/// Early dialogs of one request.
#[derive(Debug, Default)]
pub(super) struct EarlyDialogs {
    is_wanted: bool,
    /// Branch and remote tag.
    standing: Vec<(usize, String)>,
    /// Those the caller knows are over.
    over: Vec<(usize, String)>,
}

/// Dialogs that are remembered of one request: forks further down may make any number.
const MOST: usize = 64;

impl EarlyDialogs {
    pub(super) fn of(request: &Request) -> Self {
        let begins = *request.method() == Method::Invite && request.to_tag().is_none();
        let demands = |name| request.lists(name, "100rel");
        let is_wanted = begins
            && request.lists(HeaderName::Supported, "199")
            && !demands(HeaderName::Require)
            && !demands(HeaderName::ProxyRequire);
        Self { is_wanted, ..Self::default() }
    }

    /// Whether a provisional response is to be passed on; notes what it means. Only a 199 that was told already is not,
    /// unless it is reliable and so waits for its PRACK.
    pub(super) fn passes(&mut self, branch: usize, response: &Response) -> bool {
        let Some(tag) = response.to_tag().map(str::to_owned) else { return true };
        let dialog = (branch, tag);
        if response.status() == StatusCode::EARLY_DIALOG_TERMINATED {
            let is_news = !self.over.contains(&dialog);
            self.standing.retain(|it| *it != dialog);
            self.remember_end(dialog);
            return is_news || response.has(HeaderName::RSeq);
        }
        if self.is_wanted && self.standing.len() < MOST && !self.standing.contains(&dialog) {
            self.standing.push(dialog);
        }
        true
    }

    /// A branch has ended without success: the tags of the dialogs the caller is to be told of.
    pub(super) fn end(&mut self, branch: usize) -> Vec<String> {
        let (over, standing) =
            std::mem::take(&mut self.standing).into_iter().partition(|(of, _)| *of == branch);
        self.standing = standing;
        let over: Vec<(usize, String)> = over;
        over.iter().for_each(|dialog| self.remember_end(dialog.clone()));
        over.into_iter().map(|(_, tag)| tag).collect()
    }

    fn remember_end(&mut self, dialog: (usize, String)) {
        if self.over.len() < MOST {
            self.over.push(dialog);
        }
    }
}
