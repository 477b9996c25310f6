"""The calls of the direct client, by what they are about; `second_opinion.gateway.client` puts them together."""
