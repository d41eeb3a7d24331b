"""What is asked for and answered in one piece: embeddings, rankings, speech, transcriptions, images."""
