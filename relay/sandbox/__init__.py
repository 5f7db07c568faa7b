"""What lets people try the relay without Syskit Point and without Kafka."""
