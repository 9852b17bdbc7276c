"""How many replicas of a server a rate of requests needs, from the service times that an analysis has measured."""
