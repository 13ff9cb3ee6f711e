//! What a client can do wrong.

/// One thing done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The id depends on the address.
    IdOfUrl,
    /// `Debug` shows the key.
    DebugShowsKey,
    /// Health is always good.
    AlwaysHealthy,
    /// Health is always bad.
    NeverHealthy,
    /// A bad report without a sentence.
    SilentHealth,
    /// Health asks for an answer, which costs money.
    HealthCosts,
    /// Only the model and the messages are sent.
    SendsTheLeast,
    /// Numbers go through floats.
    Floats,
    /// The key is not sent.
    NoKey,
    /// The caller's headers are not sent.
    NoHeaders,
    /// The caller's headers are sent unchecked, before the client's own.
    UncheckedHeaders,
    /// A failure is tried again at once.
    Retries,
    /// After a failure nothing works any more.
    StaysBroken,
    /// Calls at the same time share what they send.
    MixesCalls,
    /// Requests that need abilities the client lacks are sent.
    SendsAnything,
    /// Calls of methods it does not declare are sent.
    DoesWhatItDenies,
    /// Streams of what it does not declare are sent; whole answers are refused.
    StreamsWhatItDenies,
    /// A second header carries the key, and the caller can set it.
    SecondKeyHeader,
    /// After a failure the next call fails too, without sending anything.
    StumblesOnce,
    /// The generation's id is not read.
    NoId,
    /// A stream just stops.
    NoEnd,
    /// A stream is asked for as a whole.
    NeverStreams,
    /// A whole answer loses its model.
    WholeLosesModel,
    /// `null` becomes an empty text.
    NullIsEmpty,
    /// Reasoning is text.
    ReasoningIsText,
    /// A refusal is text.
    RefusalIsText,
    /// The reason for the end is always `stop`.
    AlwaysStops,
    /// A reason that is not known becomes `stop`.
    UnknownStops,
    /// Usage is not read.
    NoUsage,
    /// Usage that was not sent is zero.
    UnknownIsZero,
    /// Usage without a cost costs nothing.
    NoCostIsZero,
    /// Every piece of a tool call begins a call.
    PiecesAreCalls,
    /// Tool calls are not read.
    NoTools,
    /// No arguments become `null`.
    NoArgumentsIsNull,
    /// Each piece of the network is decoded on its own.
    DecodesPieces,
    /// Lines end with LF only.
    OnlyLf,
    /// Of each piece of the network only the first event is read.
    OneEventPerPiece,
    /// Comments become empty pieces of text.
    CommentsSurface,
    /// A stream is read to its end before anything is given out.
    Collects,
    /// A stream is complete only with `[DONE]`.
    NeedsDone,
    /// A stream is complete when the connection ends.
    EndIsComplete,
    /// Errors in a stream are passed over.
    NoErrorFrames,
    /// Frames that cannot be read are passed over.
    SkipsBadFrames,
    /// A dropped call goes on in the background.
    GoesOn,
    /// Every status is the upstream's fault.
    AllUpstream,
    /// Every status is the caller's fault.
    AllInvalid,
    /// `Retry-After` is not read.
    NoRetryAfter,
    /// `Retry-After` is read as any number of seconds.
    BelievesRetryAfter,
    /// An error under status 200 is an unreadable answer.
    NoErrorUnder200,
    /// A body that cannot be read is a text.
    AnyBodyAnswers,
    /// An error whose body cannot be read is unreadable, whatever its status.
    PageHidesStatus,
    /// Redirects are followed.
    FollowsRedirects,
    /// Bodies have no cap.
    NoCap,
    /// Messages of the server are shown as they are.
    ShowsKey,
    /// Every failure has sent nothing.
    NothingSent,
    /// Every failure may have sent something.
    EverythingSent,
    /// No deadline at all.
    NoDeadline,
    /// Keep-alives begin the wait anew.
    OnlyIdle,
    /// The caller's deadline is not looked at.
    NoCallerDeadline,
    /// Vectors come as the server sends them.
    VectorsAsSent,
    /// A refused embedding is an empty answer.
    EmptyVectors,
    /// Models are sorted.
    SortsModels,
    /// A refused list of models is empty.
    EmptyModels,
}
