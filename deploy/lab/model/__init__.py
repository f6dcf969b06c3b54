"""The lab's language model: both providers' wire formats, answers played from a scenario file."""
