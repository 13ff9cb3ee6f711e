//! A mock with expectations, for tests about which calls are made.

use async_trait::async_trait;

use crate::{
    CallContext, CapabilitySet, ChatClient, ChatRequest, ChatResponse, ChatStream, HealthReport,
    IntegrationClient, ProviderId, Result,
};

mockall::mock! {
    /// A chat client whose calls are expected one by one.
    #[derive(Debug)]
    pub Chat {}

    #[async_trait]
    impl IntegrationClient for Chat {
        fn id(&self) -> &ProviderId;
        fn capabilities(&self) -> CapabilitySet;
        async fn health(&self) -> HealthReport;
    }

    #[async_trait]
    impl ChatClient for Chat {
        async fn chat_stream(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatStream>;
        async fn chat(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse>;
    }
}
