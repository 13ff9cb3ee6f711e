//! The two ways to ask a client.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};

use integration_core::{
    CallContext, ChatClient, ChatRequest, ChatResponse, ChatStream, Delivery, Error, ErrorKind, StreamEvent,
};

use super::attempt::Settler;
use super::stream::{commits, truncated};

/// A way to ask one client: in one piece, or piece by piece.
pub(super) trait Ask {
    const STREAM: bool;
    type Answer;

    /// Sends, and waits until the answer may be committed to. What becomes known is told to the settler; an attempt that is over
    /// with it is settled.
    fn ask<'a>(
        client: &'a dyn ChatClient,
        cx: &'a CallContext,
        request: &'a ChatRequest,
        settler: &'a mut Settler,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send + 'a;
}

pub(super) enum Whole {}

impl Ask for Whole {
    const STREAM: bool = false;
    type Answer = ChatResponse;

    async fn ask<'a>(
        client: &'a dyn ChatClient,
        cx: &'a CallContext,
        request: &'a ChatRequest,
        settler: &'a mut Settler,
    ) -> Result<ChatResponse, Error> {
        let response = client.chat(cx, request).await?;
        settler.see_response(&response);
        settler.complete();
        Ok(response)
    }
}

pub(super) enum Pieces {}

/// How many pieces may come before an attempt is committed to: they are kept, and a source that is always ready gives no deadline
/// a turn. Far more than one for each token of a long reasoning that is not shown.
const MOST_BEFORE: usize = 65_536;

/// A stream up to its commit point.
pub(super) struct Beginning {
    pub(super) replay: VecDeque<StreamEvent>,
    /// What is still to come; `None` if the end has come already.
    pub(super) source: Option<ChatStream>,
}

impl Ask for Pieces {
    const STREAM: bool = true;
    type Answer = Beginning;

    async fn ask<'a>(
        client: &'a dyn ChatClient,
        cx: &'a CallContext,
        request: &'a ChatRequest,
        settler: &'a mut Settler,
    ) -> Result<Beginning, Error> {
        let mut source = client.chat_stream(cx, request).await?;
        let mut replay = VecDeque::new();
        loop {
            let event = poll_fn(|cx| source.as_mut().poll_next(cx))
                .await
                .ok_or_else(truncated)??;
            settler.see(&event);
            let (commit, end) = (commits(&event), matches!(event, StreamEvent::End));
            replay.push_back(event);
            if replay.len() >= MOST_BEFORE && !commit {
                let message = format!("{MOST_BEFORE} pieces came, and none of them shows anything");
                return Err(Error::new(ErrorKind::Protocol, message).with_delivery(Delivery::Partial));
            }
            if end {
                settler.complete();
                return Ok(Beginning { replay, source: None });
            }
            if commit {
                return Ok(Beginning {
                    replay,
                    source: Some(source),
                });
            }
        }
    }
}
