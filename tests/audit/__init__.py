"""The audit: what adds up, and what is found when it does not."""
