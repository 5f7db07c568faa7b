"""What relay/kafka makes of aiokafka and of real brokers."""
