"""Tests of the browser client; what runs in Node is in the files beside."""
