"""Real Apache Kafka for tests and for people: brokers as processes on loopback, without containers."""
