"""Slack's error strings by what to do about them."""

BLOCKS = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "invalid_attachments", "cannot_parse_attachment",
     "attachment_payload_limit_exceeded", "invalid_block_id", "unsupported_block"}
)  # fmt: skip
METADATA = frozenset(
    {"invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"}
)
TOO_LONG = frozenset({"msg_too_long", "request_too_large", "payload_too_large"})
NOT_HERE = frozenset({"not_in_channel", "channel_not_found", "is_archived", "restricted_action", "no_permission",
                      "not_allowed", "cannot_reply_to_message", "user_not_in_channel"})  # fmt: skip
TOKEN = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope",
     "not_allowed_token_type", "org_login_required", "ekm_access_denied", "access_denied", "two_factor_setup_required"}
)  # fmt: skip
GONE = frozenset(
    {"message_not_found", "edit_window_closed", "cant_update_message", "compliance_exports_prevent_deletion"}
)
TRIGGER = frozenset({"expired_trigger_id", "trigger_expired", "trigger_exchanged", "exchanged_trigger_id",
                     "invalid_trigger", "invalid_trigger_id"})  # fmt: skip
THREAD = frozenset({"thread_not_found", "invalid_thread_ts"})
