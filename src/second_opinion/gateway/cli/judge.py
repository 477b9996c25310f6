"""`opinion judge`: a person's word on one candidate."""

import click

from second_opinion.gateway.cli.session import Session, with_session

RELEVANT = "relevant"


@click.command()
@click.argument("job_id", metavar="JOB")
@click.argument("chunk", metavar="CHUNK")
@click.argument("judgement", metavar="relevant|irrelevant", type=click.Choice([RELEVANT, "irrelevant"]))
@with_session
def judge(session: Session, *, job_id: str, chunk: str, judgement: str) -> int:
    r"""Say whether a candidate is relevant to its question.

    CHUNK is the candidate's rank or chunk id in `opinion trace JOB`. Judge dropped ones too, above all the best
    candidate of a refusal: floors are chosen by judgements. A later judgement takes the place of an earlier one, and
    all of them survive a new ingest, another model and another calibration.

    \b
    Examples:
      opinion judge 01JX4M2Q8Z 1 relevant
      opinion judge 01JX4M2Q8Z 7 irrelevant
    """
    made = session.client.evidence.judge(job_id, chunk, relevant=judgement == RELEVANT)
    if session.terminal.as_json:
        session.terminal.json(made)
    else:
        question = f" to {made.query!r}" if made.query else ""
        session.terminal.done(f"Judged {made.document_id} {judgement}{question}")
    return 0
